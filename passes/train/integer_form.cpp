#include "passes/train/integer_form.h"

#include "compress/packing.h"

namespace niwaki {
namespace {

/// Bytes [rows, n] as rows of packed ones.
Tensor packed_rows(Tensor codes, int bits) {
  if (bits == 8) return codes;
  if (codes.size(1) % 2 != 0) codes = at::constant_pad_nd(codes, {0, 1});
  return pack(codes.reshape({-1}), DType::uint4);
}

}  // namespace

Tensor read_codes(const Constant& constant, const IntegerForm& form, const std::vector<int64_t>& sizes) {
  const Tensor stored = values(constant);
  int64_t count = 1;
  for (const int64_t size : sizes) count *= size;
  if (form.kind == IntegerForm::Kind::plain) {
    // bytes of pairs hold signed numbers of 4 bits
    if (constant.dtype == DType::uint8 && stored.numel() * 2 == count) return unpack(stored.reshape({-1}), DType::int4, count).reshape(sizes).to(at::kFloat);
    return stored.reshape(sizes).to(at::kFloat);
  }
  const int64_t rows = sizes[0], width = stored.numel() / rows;
  const Tensor flat = form.bits == 8 ? stored : unpack(stored.reshape({-1}), DType::uint4, stored.numel() * 2);
  return flat.reshape({rows, form.bits == 8 ? width : width * 2}).narrow(1, 0, sizes[1]).to(at::kFloat).contiguous();
}

Constant write_codes(const Constant& constant, const IntegerForm& form, const Tensor& codes, const Tensor& zero_point) {
  Constant changed = constant;
  if (form.kind == IntegerForm::Kind::plain) {
    const Tensor stored = values(constant);
    if (constant.dtype == DType::uint8 && stored.numel() * 2 == codes.numel()) {
      changed.storage = pack(codes.to(at::kChar).contiguous(), DType::int4).reshape(constant.sizes);
      return changed;
    }
    return make_constant(codes.to(stored.scalar_type()).reshape(stored.sizes()).contiguous(), constant.dtype);
  }
  Tensor bytes = codes.to(at::kByte);
  if (form.kind == IntegerForm::Kind::blocks) {
    const Tensor filled = zero_point.to(at::kByte).repeat_interleave(form.block_size, 1).contiguous();
    filled.narrow(1, 0, bytes.size(1)).copy_(bytes);
    bytes = filled;
  }
  changed.storage = packed_rows(bytes.contiguous(), form.bits).reshape(constant.sizes).contiguous();
  return changed;
}

}  // namespace niwaki
