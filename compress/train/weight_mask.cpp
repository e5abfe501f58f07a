#include "compress/train/weight_mask.h"

namespace niwaki {
namespace {

constexpr double kFewest = 0.01, kMost = 0.9999;

}  // namespace

Tensor apply_mask(const Tensor& weights, const Tensor& mask) { return at::where(mask, weights, at::zeros_like(weights)); }

std::map<ValueId, Tensor> masks_of_zeros(const Graph& graph, const std::set<ValueId>& trainable) {
  std::map<ValueId, Tensor> masks;
  for (const ValueId id : trainable) {
    const Constant* constant = graph.constant(id);
    if (constant == nullptr || constant->sizes.size() < 2 || !is_float(constant->dtype)) continue;
    const Tensor mask = values(*constant).ne(0);
    const auto kept = static_cast<double>(mask.sum().item<int64_t>()), size = static_cast<double>(mask.numel());
    const double sparsity = size > 0 ? 1 - kept / size : 0;
    if (sparsity >= kFewest && sparsity <= kMost) masks[id] = mask;
  }
  return masks;
}

}  // namespace niwaki
