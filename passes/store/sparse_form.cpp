#include "passes/store/sparse_form.h"

#include "passes/store/code_terms.h"

namespace niwaki {
namespace {

constexpr int64_t kScatter = 11;             // opset
constexpr double kMostForGaps = 0.4, kLeastForMask = 0.15, kMostForMask = 0.85;   // share that is stored: below or above, others are smaller

/// Places in a vector as steps from one to the next, each of 0 .. most. Where steps are skips, one of `most` stores
/// nothing, and none of 0 follows it: no place is met twice. Where a step would be too long, a zero is stored.
struct Steps {
  std::vector<int64_t> numbers;
  bool has_skips = false;
};

Steps steps_to(const Tensor& places, int64_t most, bool by_skips) {
  Steps steps;
  int64_t at = 0;
  const Tensor all = places.contiguous();
  for (int64_t i = 0; i < all.numel(); ++i) {
    int64_t gap = all.const_data_ptr<int64_t>()[i] - at;
    at += gap;
    for (; gap > most; gap -= most) {
      steps.numbers.push_back(most);
      steps.has_skips = by_skips;
    }
    if (by_skips && gap == most) {
      steps.numbers.push_back(most - 1);
      gap = 1;
    }
    steps.numbers.push_back(gap);
  }
  return steps;
}

/// The numbers one after another; where some are left out, after the zero that stands for those.
Tensor after_zero(const Tensor& numbers) { return at::cat({at::zeros({1}, numbers.options()), numbers}); }

/// What stands at each step, but at skips.
Tensor stored_at(const Tensor& bits, const Steps& steps, int64_t most) {
  const Tensor moves = at::tensor(steps.numbers, at::kLong), where = moves.cumsum(0);
  if (!steps.has_skips) return bits.index_select(0, where);
  return after_zero(bits.index_select(0, where.index_select(0, moves.ne(most).nonzero().reshape({-1}))));
}

/// For each of `flags` (int32) that is 1 the next of the numbers, for others the first.
StoredForm::Term next_where(StoredForm& form, StoredForm::Term flags, const Tensor& numbers, const Constant& like, int64_t codebook) {
  const auto index = form.node("Mul", {form.node("CumSum", {flags, form.constant(at::scalar_tensor(0, at::kInt))}), flags});
  return form.node("Gather", {coded_term(form, numbers, like, codebook), index});
}

/// The vector of zeros with `what` at `where`, in the constant's shape.
void scatter(StoredForm& form, const Constant& constant, const Tensor& bits, StoredForm::Term where, StoredForm::Term what) {
  const Constant zero = constant_of_bits(at::zeros({1}, bits.options()), constant, {1});
  const auto zeros = form.node("ConstantOfShape", {form.integers({bits.numel()})}, {{"value", zero}});
  const auto dense = form.node("ScatterElements", {zeros, where, what});
  if (constant.sizes.size() != 1) form.node("Reshape", {dense, form.integers(constant.sizes)});
}

StoredForm gap_form(const Constant& constant, const Tensor& bits, const Steps& steps, int64_t most, const Tensor& numbers, int64_t codebook) {
  StoredForm form;
  const auto gaps = packed_term(form, at::tensor(steps.numbers, at::kLong), most + 1);
  const auto where = form.node("CumSum", {gaps, form.constant(at::scalar_tensor(0, at::kInt))});
  if (!steps.has_skips) {
    scatter(form, constant, bits, where, coded_term(form, numbers, constant, codebook));
    return form;
  }
  const auto is_stored = form.cast(form.node("Less", {gaps, form.constant(at::scalar_tensor(most, at::kInt))}), DType::int32);
  scatter(form, constant, bits, where, next_where(form, is_stored, numbers, constant, codebook));
  return form;
}

StoredForm mask_form(const Constant& constant, const Tensor& bits, const Tensor& numbers, int64_t codebook) {
  StoredForm form;
  const auto dense = next_where(form, packed_term(form, bits.ne(0), 2), numbers, constant, codebook);
  if (constant.sizes.size() != 1) form.node("Reshape", {dense, form.integers(constant.sizes)});
  return form;
}

}  // namespace

std::vector<StoredForm> sparse_forms(const Graph& graph, const Constant& constant) {
  std::vector<StoredForm> forms;
  const int width = bits_of(constant.dtype);
  const Tensor bits = constant.storage.contiguous().reshape({-1}).view(width == 8 ? at::kByte : width == 16 ? at::kShort : width == 32 ? at::kInt : at::kLong);
  const double share = static_cast<double>(bits.count_nonzero().item<int64_t>()) / static_cast<double>(bits.numel());
  if (graph.opset() < kScatter || share == 0 || share > kMostForMask || bits.numel() > INT32_MAX) return forms;
  const Tensor places = at::nonzero(bits).reshape({-1});
  const Tensor stored = after_zero(bits.index_select(0, places));
  if (share >= kLeastForMask) {
    for (const int64_t codebook : codebook_sizes(stored, graph.opset())) forms.push_back(mask_form(constant, bits, stored, codebook));
  }
  if (share > kMostForGaps) return forms;
  for (const int64_t most : {255, 15}) {
    for (const bool by_skips : {false, true}) {
      const Steps steps = steps_to(places, most, by_skips);
      if (by_skips && !steps.has_skips) continue;
      const Tensor numbers = stored_at(bits, steps, most);
      for (const int64_t codebook : codebook_sizes(numbers, graph.opset())) {
        forms.push_back(gap_form(constant, bits, steps, most, numbers, codebook));
      }
    }
  }
  return forms;
}

}  // namespace niwaki
