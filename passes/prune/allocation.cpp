#include "passes/prune/allocation.h"

#include <algorithm>

namespace niwaki {
namespace {

double slope(const LossCurve& curve, size_t from, size_t to) {
  return (curve.loss[to] - curve.loss[from]) / static_cast<double>(curve.zeros[to] - curve.zeros[from]);
}

/// Points of the lower convex hull.
std::vector<size_t> hull_of(const LossCurve& curve) {
  std::vector<size_t> hull;
  for (size_t i = 0; i < curve.zeros.size(); ++i) {
    if (!hull.empty() && curve.zeros[i] <= curve.zeros[hull.back()]) continue;
    while (hull.size() > 1 && slope(curve, hull[hull.size() - 2], hull.back()) >= slope(curve, hull[hull.size() - 2], i)) hull.pop_back();
    hull.push_back(i);
  }
  return hull;
}

struct Step {
  double cost;                               // of one more zero
  size_t layer;
  int64_t count;
};

}  // namespace

std::vector<int64_t> allocate_zeros(const std::vector<LossCurve>& curves, int64_t num_zeros) {
  std::vector<Step> steps;
  for (size_t layer = 0; layer < curves.size(); ++layer) {
    const auto hull = hull_of(curves[layer]);
    for (size_t i = 1; i < hull.size(); ++i) {
      steps.push_back({slope(curves[layer], hull[i - 1], hull[i]), layer, curves[layer].zeros[hull[i]] - curves[layer].zeros[hull[i - 1]]});
    }
  }
  // slopes rise along a hull, so a stable sort takes the steps of a layer in order
  std::stable_sort(steps.begin(), steps.end(), [](const Step& a, const Step& b) { return a.cost < b.cost; });
  std::vector<int64_t> zeros(curves.size(), 0);
  for (const Step& step : steps) {
    const int64_t taken = std::min(step.count, num_zeros);
    zeros[step.layer] += taken;
    num_zeros -= taken;
  }
  return zeros;
}

double loss_at(const LossCurve& curve, int64_t zeros) {
  for (size_t i = 1; i < curve.zeros.size(); ++i) {
    if (zeros <= curve.zeros[i]) return curve.loss[i - 1] + slope(curve, i - 1, i) * static_cast<double>(zeros - curve.zeros[i - 1]);
  }
  return curve.loss.empty() ? 0 : curve.loss.back();
}

}  // namespace niwaki
