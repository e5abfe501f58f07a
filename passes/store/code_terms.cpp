#include "passes/store/code_terms.h"

#include <array>
#include <cstring>

namespace niwaki {
namespace {

constexpr int64_t kSample = 4096;            // elements that show whether a codebook is hopeless
constexpr int64_t kByte = 256;
constexpr int64_t kSliceByInputs = 10;       // opset
constexpr std::array<int64_t, 6> kLevels = {256, 16, 6, 4, 3, 2};   // the most that 1, 2, 3, 4, 5, 8 codes in a byte can have

int64_t distinct(const Tensor& bits) { return std::get<0>(at::_unique(bits)).numel(); }

}  // namespace

bool same_bytes(const Tensor& a, const Tensor& b) {
  const Tensor left = a.contiguous(), right = b.contiguous();
  return left.nbytes() == right.nbytes() && std::memcmp(left.const_data_ptr(), right.const_data_ptr(), left.nbytes()) == 0;
}

Constant constant_of_bits(const Tensor& bits, const Constant& like, std::vector<int64_t> sizes) {
  Constant constant{.dtype = like.dtype, .sizes = sizes};
  constant.storage = bits.contiguous().view(like.storage.scalar_type()).reshape(sizes);
  return constant;
}

int64_t codes_per_byte(int64_t levels) {
  int64_t count = 0;
  for (int64_t numbers = levels; numbers <= kByte; numbers *= levels) ++count;
  return count;
}

StoredForm::Term packed_term(StoredForm& form, const Tensor& codes, int64_t levels, bool keep_groups) {
  const int64_t digits = codes_per_byte(levels), count = codes.numel(), bytes = (count + digits - 1) / digits;
  Tensor whole = codes.to(at::kLong);
  if (digits == 1) return form.cast(form.constant(whole.to(at::kByte)), DType::int32);
  if (bytes * digits > count) whole = at::cat({whole, at::zeros({bytes * digits - count}, at::kLong)});
  Tensor powers = at::ones({digits}, at::kLong);
  for (int64_t i = 1; i < digits; ++i) powers.slice(0, i).mul_(levels);
  const int64_t numbers = powers[-1].item<int64_t>() * levels;
  const Tensor table = at::arange(numbers).unsqueeze(1).floor_divide(powers).remainder(levels).to(at::kByte);
  const auto index = form.cast(form.constant(whole.reshape({-1, digits}).mul(powers).sum(1).to(at::kByte)), DType::int32);
  const auto all = form.node("Gather", {form.cast(form.constant(table), DType::int32), index});
  if (keep_groups && bytes * digits == count) return all;
  const auto flat = form.node("Reshape", {all, form.integers({-1})});
  if (bytes * digits == count) return flat;
  return form.node("Slice", {flat, form.integers({0}), form.integers({count})});
}

std::vector<int64_t> codebook_sizes(const Tensor& bits, int64_t opset) {
  if (bits.numel() < 2 || distinct(bits.slice(0, 0, kSample)) > kByte) return {0};
  const int64_t count = distinct(bits);
  std::vector<int64_t> sizes{0};
  for (const int64_t levels : kLevels) {
    if (count <= levels && (opset >= kSliceByInputs || bits.numel() % codes_per_byte(levels) == 0)) sizes.push_back(levels);
  }
  return sizes;
}

StoredForm::Term coded_term(StoredForm& form, const Tensor& bits, const Constant& like, int64_t levels, bool keep_groups) {
  if (levels == 0) return form.constant(constant_of_bits(bits, like, bits.sizes().vec()));
  const auto [codebook, codes] = at::_unique(bits, true, true);
  const auto book = form.constant(constant_of_bits(codebook, like, {codebook.numel()}));
  return form.node("Gather", {book, packed_term(form, codes, levels, keep_groups)});
}

}  // namespace niwaki
