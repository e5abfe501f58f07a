#include "passes/store/exact_form.h"

#include <algorithm>
#include <cstring>
#include <numeric>

namespace niwaki {
namespace {

constexpr int64_t kSample = 4096;            // elements that show whether a codebook is hopeless

bool same_bytes(const Tensor& a, const Tensor& b) {
  const Tensor left = a.contiguous(), right = b.contiguous();
  return left.nbytes() == right.nbytes() && std::memcmp(left.const_data_ptr(), right.const_data_ptr(), left.nbytes()) == 0;
}

/// The bits of each element as an integer: -0.0 is not 0.0, and a NaN equals itself.
Tensor bits_as_integers(const Constant& constant) {
  const Tensor flat = constant.storage.contiguous().reshape({-1});
  const int bits = bits_of(constant.dtype);
  return flat.view(bits == 8 ? at::kByte : bits == 16 ? at::kShort : bits == 32 ? at::kInt : at::kLong);
}

Constant with_type(const Tensor& bits, const Constant& like, std::vector<int64_t> sizes) {
  Constant constant{.dtype = like.dtype, .sizes = sizes};
  constant.storage = bits.contiguous().view(like.storage.scalar_type()).reshape(sizes);
  return constant;
}

void add_fill(std::vector<StoredForm>& forms, const Graph& graph, const Constant& constant, const Tensor& bits) {
  if (graph.opset() < 9 || constant.sizes.empty() || !bits.eq(bits[0]).all().item<bool>()) return;
  StoredForm form;
  form.node("ConstantOfShape", {form.integers(constant.sizes)}, {{"value", with_type(bits.narrow(0, 0, 1), constant, {1})}});
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
  form.node("Expand", {form.constant(with_type(core, constant, core.sizes().vec())), form.integers(constant.sizes)});
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
  form.node("Where", {above, form.constant(with_type(upper.reshape({1}), constant, ones)), form.constant(with_type(lower.reshape({1}), constant, {}))});
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

/// Codes of `width` bits, packed from the low bits up, as int32 of shape [.., last / (8 / width), 8 / width].
StoredForm::Term packed_term(StoredForm& form, const Tensor& codes, int width) {
  const int64_t per_byte = 8 / width;
  const Tensor shifts = at::arange(per_byte) * width, all = at::arange(256).unsqueeze(1);
  const Tensor table = all.bitwise_right_shift(shifts).bitwise_and((1 << width) - 1).to(at::kByte);
  const Tensor grouped = codes.reshape({-1, per_byte}).to(at::kLong).bitwise_left_shift(shifts).sum(1).to(at::kByte);
  const auto index = form.cast(form.constant(grouped), DType::int32);
  return form.node("Gather", {form.cast(form.constant(table), DType::int32), index});
}

/// One-dimensional bits as they are, or as the narrowest codes of a codebook; a term of any shape with these numbers.
StoredForm::Term coded_term(StoredForm& form, const Tensor& bits, const Constant& like, int width) {
  if (width == 0) return form.constant(with_type(bits, like, bits.sizes().vec()));
  const auto [codebook, codes] = at::_unique(bits, true, true);
  const auto book = form.constant(with_type(codebook, like, {codebook.numel()}));
  return form.node("Gather", {book, width == 8 ? form.cast(form.constant(codes.to(at::kByte)), DType::int32) : packed_term(form, codes, width)});
}

/// Widths of codes that can say these numbers; 0, as they are, comes first.
std::vector<int> widths_for(const Tensor& bits) {
  const auto distinct = [](const Tensor& some) { return std::get<0>(at::_unique(some)).numel(); };
  if (bits.numel() < 2 || distinct(bits.slice(0, 0, kSample)) > 256) return {0};
  const int64_t count = distinct(bits);
  std::vector<int> widths{0};
  for (const int width : {8, 4, 2, 1}) {
    if (count <= int64_t{1} << width && bits.numel() % (8 / width) == 0) widths.push_back(width);
  }
  return widths;
}

void add_codebooks(std::vector<StoredForm>& forms, const Constant& constant, const Tensor& bits) {
  for (const int width : widths_for(bits)) {
    if (width == 0 || width >= bits_of(constant.dtype)) continue;
    StoredForm form;
    const auto numbers = coded_term(form, bits, constant, width);
    if (constant.sizes.size() != 1 || width != 8) form.node("Reshape", {numbers, form.integers(constant.sizes)});
    forms.push_back(std::move(form));
  }
}

/// Distances between elements that are stored, none above `most`: zeros are stored where a gap is longer, and once more
/// where the count would not be a multiple of `multiple`.
std::optional<std::vector<int64_t>> gaps_of(const Tensor& positions, int64_t most, int64_t multiple) {
  std::vector<int64_t> gaps;
  int64_t at = 0;
  const Tensor all = positions.contiguous();
  for (int64_t i = 0; i < all.numel(); ++i) {
    int64_t gap = all.const_data_ptr<int64_t>()[i] - at;
    at += gap;
    for (; gap > most; gap -= most) gaps.push_back(most);
    gaps.push_back(gap);
  }
  for (size_t i = 1; i < gaps.size() && static_cast<int64_t>(gaps.size()) % multiple != 0; ++i) {
    if (gaps[i] < 2) continue;
    --gaps[i];
    gaps.insert(gaps.begin() + static_cast<int64_t>(i), 1);
  }
  if (static_cast<int64_t>(gaps.size()) % multiple != 0) return std::nullopt;
  return gaps;
}

void add_sparse(std::vector<StoredForm>& forms, const Graph& graph, const Constant& constant, const Tensor& bits) {
  const Tensor positions = at::nonzero(bits).reshape({-1});
  if (graph.opset() < 11 || positions.numel() == 0 || positions.numel() * 2 > bits.numel() || bits.numel() > INT32_MAX) return;
  for (const int gap_width : {8, 4}) {
    const auto gaps = gaps_of(positions, (1 << gap_width) - 1, 8 / gap_width);
    if (!gaps) continue;
    const Tensor steps = at::tensor(*gaps, at::kLong), numbers = bits.index_select(0, steps.cumsum(0));
    for (const int width : widths_for(numbers)) {
      StoredForm form;
      const auto flat = form.integers({-1});
      auto gap = gap_width == 8 ? form.cast(form.constant(steps.to(at::kByte)), DType::int32) : packed_term(form, steps, gap_width);
      if (gap_width != 8) gap = form.node("Reshape", {gap, flat});
      const auto where = form.node("CumSum", {gap, form.constant(at::scalar_tensor(0, at::kInt))});
      auto what = coded_term(form, numbers, constant, width);
      if (width != 0 && width != 8) what = form.node("Reshape", {what, flat});
      const auto zeros = form.node("ConstantOfShape", {form.integers({bits.numel()})}, {{"value", with_type(at::zeros({1}, bits.options()), constant, {1})}});
      const auto dense = form.node("ScatterElements", {zeros, where, what});
      if (constant.sizes.size() != 1) form.node("Reshape", {dense, form.integers(constant.sizes)});
      forms.push_back(std::move(form));
    }
  }
}

}  // namespace

std::vector<StoredForm> exact_forms(const Graph& graph, const Constant& constant) {
  std::vector<StoredForm> forms;
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
  add_codebooks(forms, constant, bits);
  add_sparse(forms, graph, constant, bits);
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
