#pragma once

#include <cstdint>
#include <vector>

namespace niwaki {

/// What zeros cost a layer: `loss` at each number of `zeros`, ascending from 0 zeros at no loss.
struct LossCurve {
  std::vector<int64_t> zeros;
  std::vector<double> loss;
};

/// Zeros for each layer, `num_zeros` in all, of least summed loss on the lower convex hulls of the curves: the cheapest
/// steps first, ties by layer (algorithms.md 10.2). Where the curves end before, what is missing stays missing.
std::vector<int64_t> allocate_zeros(const std::vector<LossCurve>& curves, int64_t num_zeros);
/// The loss at a number of zeros, linear between the points of the curve.
double loss_at(const LossCurve& curve, int64_t zeros);

}  // namespace niwaki
