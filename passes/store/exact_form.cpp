#include "passes/store/exact_form.h"

#include "passes/store/code_terms.h"
#include "passes/store/scaled_form.h"
#include "passes/store/sparse_form.h"

#include <algorithm>

namespace niwaki {
namespace {

/// The bits of each element as an integer: -0.0 is not 0.0, and a NaN equals itself.
Tensor bits_as_integers(const Constant& constant) {
  const Tensor flat = constant.storage.contiguous().reshape({-1});
  const int bits = bits_of(constant.dtype);
  return flat.view(bits == 8 ? at::kByte : bits == 16 ? at::kShort : bits == 32 ? at::kInt : at::kLong);
}

void add_fill(std::vector<StoredForm>& forms, const Graph& graph, const Constant& constant, const Tensor& bits) {
  if (graph.opset() < 9 || constant.sizes.empty() || !bits.eq(bits[0]).all().item<bool>()) return;
  StoredForm form;
  form.node("ConstantOfShape", {form.integers(constant.sizes)}, {{"value", constant_of_bits(bits.narrow(0, 0, 1), constant, {1})}});
  forms.push_back(std::move(form));
}

void add_repeats(std::vector<StoredForm>& forms, const Graph& graph, const Constant& constant, const Tensor& bits) {
  Tensor core = bits.reshape(constant.sizes);
  for (int64_t axis = 0; axis < core.dim(); ++axis) {
    const Tensor first = core.narrow(axis, 0, 1);
    if (core.size(axis) > 1 && core.eq(first).all().item<bool>()) core = first;
  }
  if (graph.opset() < 8 || core.numel() == bits.numel()) return;
  StoredForm form;
  form.node("Expand", {form.constant(constant_of_bits(core, constant, core.sizes().vec())), form.integers(constant.sizes)});
  forms.push_back(std::move(form));
}

void add_range(std::vector<StoredForm>& forms, const Graph& graph, const Constant& constant) {
  const bool is_possible = constant.dtype == DType::float32 || constant.dtype == DType::int32 || constant.dtype == DType::int64;
  if (graph.opset() < 11 || !is_possible || constant.sizes.empty()) return;
  const Tensor flat = constant.storage.reshape({-1}), delta = flat[1] - flat[0];
  if (!(delta.item<double>() != 0) || !(flat.slice(0, 1) - flat.slice(0, 0, -1)).eq(delta).all().item<bool>()) return;
  StoredForm form;
  const auto start = form.constant(flat[0].clone()), limit = form.constant(flat[-1] + delta), step = form.constant(delta);
  const auto range = form.node("Range", {start, limit, step});
  if (constant.sizes.size() > 1) form.node("Reshape", {range, form.integers(constant.sizes)});
  forms.push_back(std::move(form));
}

/// [.., rows, columns] with one number where column - row <= k and another where it is more, as in causal masks.
void add_mask(std::vector<StoredForm>& forms, const Graph& graph, const Constant& constant, const Tensor& bits) {
  const size_t rank = constant.sizes.size();
  if (graph.opset() < 11 || rank < 2 || constant.dtype != DType::float32) return;
  const int64_t rows = constant.sizes[rank - 2], columns = constant.sizes[rank - 1];
  if (rows * columns != bits.numel() || columns < 2 || rows < 2) return;
  const Tensor grid = bits.reshape({rows, columns}), lower = grid[rows - 1][0], upper = grid[0][columns - 1];
  const auto lowers = [&](int64_t row) { return grid[row].eq(lower).sum().item<int64_t>(); };
  const int64_t k = lowers(0) > 0 ? lowers(0) - 1 : lowers(rows - 1) - rows;
  const Tensor row = at::arange(rows).unsqueeze(1), column = at::arange(columns);
  if (!at::where(column > row + k, upper, lower).eq(grid).all().item<bool>()) return;
  StoredForm form;
  const auto number = [&](int64_t value) { return form.constant(at::scalar_tensor(value, at::kInt)); };
  const auto one = number(1), all = form.node("Range", {number(0), number(columns), one});
  const auto limits = k == 0 && rows == columns ? all : form.node("Range", {number(k), number(k + rows), one});
  const auto above = form.node("Greater", {all, form.node("Reshape", {limits, form.integers({-1, 1})})});
  const std::vector<int64_t> ones(rank > 2 ? rank : 0, 1);
  form.node("Where", {above, form.constant(constant_of_bits(upper.reshape({1}), constant, ones)), form.constant(constant_of_bits(lower.reshape({1}), constant, {}))});
  forms.push_back(std::move(form));
}

void add_narrow(std::vector<StoredForm>& forms, const Constant& constant) {
  const Tensor& wide = constant.storage;
  if (constant.dtype != DType::float32 && constant.dtype != DType::float64 && constant.dtype != DType::int32 && constant.dtype != DType::int64) return;
  const double low = wide.min().item<double>(), high = wide.max().item<double>();   // NaN where one is
  const auto try_type = [&](DType dtype, bool fits) {
    if (!fits || bits_of(dtype) >= bits_of(constant.dtype)) return false;
    const Tensor narrow = wide.to(scalar_type(dtype));
    if (!same_bytes(narrow.to(wide.scalar_type()), wide)) return false;
    StoredForm form;
    form.cast(form.constant(narrow, dtype), constant.dtype);
    forms.push_back(std::move(form));
    return true;
  };
  if (try_type(DType::uint8, low >= 0 && high <= 255) || try_type(DType::int8, low >= -128 && high <= 127)) return;
  if (try_type(DType::int16, low >= -32768 && high <= 32767)) return;
  if (is_float(constant.dtype)) try_type(DType::float16, true);
  try_type(DType::int32, low >= -2147483648.0 && high <= 2147483647.0);
}

void add_codebooks(std::vector<StoredForm>& forms, const Graph& graph, const Constant& constant, const Tensor& bits) {
  for (const int64_t levels : codebook_sizes(bits, graph.opset())) {
    if (levels == 0 || 8 / codes_per_byte(levels) >= bits_of(constant.dtype)) continue;
    StoredForm form;
    const auto numbers = coded_term(form, bits, constant, levels, constant.sizes.size() != 1);
    if (constant.sizes.size() != 1) form.node("Reshape", {numbers, form.integers(constant.sizes)});
    forms.push_back(std::move(form));
  }
}

/// Integers of 4 bits with many zeros, by way of 8.
std::vector<StoredForm> sparse_forms_of_4_bits(const Graph& graph, const Constant& constant) {
  std::vector<StoredForm> forms = sparse_forms(graph, make_constant(values(constant)));
  for (StoredForm& form : forms) form.cast(form.terms().size() - 1, constant.dtype);
  return forms;
}

}  // namespace

std::vector<StoredForm> exact_forms(const Graph& graph, const Constant& constant, bool may_be_sparse) {
  std::vector<StoredForm> forms;
  if (may_be_sparse && (constant.dtype == DType::int4 || constant.dtype == DType::uint4)) return sparse_forms_of_4_bits(graph, constant);
  const int width = bits_of(constant.dtype);
  const bool is_plain = !is_packed(constant.dtype) && (width == 8 || width == 16 || width == 32 || width == 64);
  if (!is_plain || constant.dtype == DType::complex64 || element_count(constant) < 2) return forms;
  const Tensor bits = bits_as_integers(constant);
  add_fill(forms, graph, constant, bits);
  if (!forms.empty()) return forms;
  add_repeats(forms, graph, constant, bits);
  add_range(forms, graph, constant);
  add_mask(forms, graph, constant, bits);
  add_narrow(forms, constant);
  add_codebooks(forms, graph, constant, bits);
  for (StoredForm& form : scaled_forms(constant)) forms.push_back(std::move(form));
  if (!may_be_sparse) return forms;
  for (StoredForm& form : sparse_forms(graph, constant)) forms.push_back(std::move(form));
  return forms;
}

std::optional<StoredForm> twin_form(const Constant& constant, ValueId twin, const Constant& numbers) {
  if (constant.dtype != numbers.dtype || byte_size(constant) != byte_size(numbers) || is_packed(constant.dtype)) return std::nullopt;
  StoredForm form;
  const auto base = form.value(twin);
  const bool is_matrix = constant.sizes.size() == 2 && numbers.sizes.size() == 2 && constant.sizes[0] == numbers.sizes[1];
  if (is_matrix && same_bytes(constant.storage, numbers.storage.t())) {
    form.node("Transpose", {base});
  } else if (same_bytes(constant.storage, numbers.storage)) {
    form.node("Reshape", {base, form.integers(constant.sizes)});
  } else {
    return std::nullopt;
  }
  return form;
}

}  // namespace niwaki
