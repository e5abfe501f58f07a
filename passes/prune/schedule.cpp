#include "passes/prune/schedule.h"

#include "passes/prune/mask.h"

#include <algorithm>
#include <cmath>

namespace niwaki {
namespace {

/// |w| of what the mask keeps; what is gone ranks below everything.
Tensor ranked(const Tensor& scores, const Tensor& mask) {
  const Tensor x = scores.to(at::kDouble);
  return at::where(mask, x, at::full_like(x, -INFINITY));
}

int64_t count_zeros(const Tensor& mask) { return mask.numel() - mask.sum().item<int64_t>(); }

/// Zeros after a round; the last weight is never asked for.
int64_t zeros_after(int64_t zeros, int64_t size, double share) { return std::min(zeros + zero_count(size - zeros, share), std::max<int64_t>(size - 1, 0)); }

}  // namespace

double GradualSchedule::sparsity(int64_t step) const {
  const double done = std::clamp(static_cast<double>(step - begin) / static_cast<double>(std::max<int64_t>(end - begin, 1)), 0.0, 1.0);
  return last + (first - last) * std::pow(1 - done, 3);
}

bool GradualSchedule::is_due(int64_t step) const { return step >= begin && step <= end && ((step - begin) % interval == 0 || step == end); }

Tensor narrower_mask(const Tensor& scores, const Tensor& mask, int64_t num_zeros) {
  return lowest_mask(ranked(scores, mask), std::max(num_zeros, count_zeros(mask)));
}

std::vector<Tensor> next_round(const std::vector<Tensor>& weights, const std::vector<Tensor>& masks, double share, MaskScope scope) {
  std::vector<Tensor> scores, narrower;
  int64_t zeros = 0, size = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    scores.push_back(ranked(weights[i].detach().abs(), masks[i]));
    const int64_t gone = count_zeros(masks[i]);
    if (scope == MaskScope::layer) narrower.push_back(lowest_mask(scores[i], std::max(gone, zeros_after(gone, masks[i].numel(), share))));
    zeros += gone;
    size += masks[i].numel();
  }
  if (scope == MaskScope::layer || weights.empty()) return narrower;
  return lowest_masks(scores, std::max(zeros, zeros_after(zeros, size, share)));
}

std::vector<Tensor> rewind(const std::vector<Tensor>& earlier, const std::vector<Tensor>& masks) {
  std::vector<Tensor> weights;
  for (size_t i = 0; i < earlier.size(); ++i) weights.push_back(apply_mask(earlier[i], masks[i]));
  return weights;
}

Tensor sr_ste_gradient(const Tensor& gradient, const Tensor& weights, const Tensor& mask, double decay) {
  return gradient + decay * at::where(mask, at::zeros_like(weights), weights);
}

}  // namespace niwaki
