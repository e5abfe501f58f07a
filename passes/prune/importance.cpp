#include "passes/prune/importance.h"

#include <algorithm>

namespace niwaki {
namespace {

double energy(const Tensor& weights, const Tensor& gram) {
  return std::max(0.0, (at::mm(weights, gram.to(at::kDouble)) * weights).sum().item<double>());
}

}  // namespace

Tensor magnitude_scores(const Tensor& weights) { return weights.to(at::kDouble).abs(); }

Tensor wanda_scores(const Tensor& weights, const Tensor& gram) {
  return magnitude_scores(weights) * gram.to(at::kDouble).diagonal().clamp_min(0).sqrt();
}

double output_error(const Tensor& changed, const Tensor& weights, const Tensor& gram) {
  return energy(changed.to(at::kDouble) - weights.to(at::kDouble), gram);
}

double relative_error(const Tensor& changed, const Tensor& weights, const Tensor& gram) {
  const double whole = energy(weights.to(at::kDouble), gram);
  return whole > 0 ? output_error(changed, weights, gram) / whole : 0;
}

}  // namespace niwaki
