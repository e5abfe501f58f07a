#include "compress/train/shared_weights.h"

#include <vector>

namespace niwaki {
namespace {

constexpr int64_t kFewest = 3, kMost = 256;  // one or two values: a matrix that was only just filled
constexpr int64_t kLeastShare = 4;           // weights per value
constexpr int64_t kLooked = 4096;

Tensor sums_by_code(const Tensor& numbers, const Tensor& codes) {
  const Tensor flat = codes.reshape({-1});
  return at::zeros({flat.max().item<int64_t>() + 1}, at::kDouble).index_add_(0, flat, numbers.reshape({-1}).to(at::kDouble));
}

}  // namespace

std::map<ValueId, Tensor> codes_of_shared(const Graph& graph, const std::set<ValueId>& trainable) {
  std::map<ValueId, Tensor> found;
  for (const ValueId id : trainable) {
    const Constant* constant = graph.constant(id);
    if (constant == nullptr || constant->sizes.size() < 2 || !is_float(constant->dtype)) continue;
    const Tensor flat = values(*constant).reshape({-1});
    if (flat.numel() < kFewest * kLeastShare) continue;
    const Tensor some = flat.narrow(0, 0, std::min(flat.numel(), kLooked));      // most weights are told by their first numbers
    if (std::get<0>(at::_unique(some)).numel() > kMost) continue;
    const auto [different, codes] = at::_unique(flat, /*sorted=*/true, /*return_inverse=*/true);
    const int64_t count = different.numel();
    if (count >= kFewest && count <= std::min(kMost, flat.numel() / kLeastShare)) found[id] = codes.reshape(constant->sizes);
  }
  return found;
}

Tensor shared_gradient(const Tensor& gradient, const Tensor& codes) {
  return sums_by_code(gradient, codes).to(gradient.scalar_type()).index_select(0, codes.reshape({-1})).reshape(gradient.sizes());
}

double shared_squares(const Tensor& gradient, const Tensor& codes) { return sums_by_code(gradient, codes).square().sum().item<double>(); }

Tensor tied(const Tensor& weights, const Tensor& codes) {
  const Tensor flat = codes.reshape({-1}).contiguous();
  const int64_t* const code = flat.const_data_ptr<int64_t>();
  std::vector<int64_t> firsts(static_cast<size_t>(flat.max().item<int64_t>() + 1), -1);
  for (int64_t i = 0; i < flat.numel(); ++i) {
    int64_t& first = firsts[static_cast<size_t>(code[i])];
    if (first < 0) first = i;
  }
  for (int64_t& first : firsts) first = std::max<int64_t>(first, 0);      // a code without weights
  return weights.reshape({-1}).index_select(0, at::tensor(firsts, at::kLong)).index_select(0, flat).reshape(weights.sizes());
}

}  // namespace niwaki
