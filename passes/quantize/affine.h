#pragma once

#include "compress/tensor.h"

#include <array>

namespace niwaki {

enum class Granularity { per_tensor, per_channel, per_block };
constexpr auto names(Granularity) { return std::array{"per_tensor", "per_channel", "per_block"}; }

/// Smallest and largest number of each group that shares a scale, extended to include 0. Both have the rank of x: size 1
/// where a group spans the axis, ceil(size / block_size) along the axis of blocks.
struct Ranges {
  Tensor low, high;                          // float32
};
/// per_channel: one group per index of `axis`. per_block: one per `block_size` numbers along `axis`.
Ranges ranges_of(const Tensor& x, Granularity granularity, int64_t axis = 0, int64_t block_size = 32);

/// x ~ (q - zero_point) * scale, with q in [least, most].
struct Affine {
  Tensor scale;                              // float32, above 0
  Tensor zero_point;                         // int32; zeros when symmetric
  int64_t least, most;
};
/// Symmetric: q in [-most, most], scale = max(|low|, |high|) / most. Groups of zeros and scales that are no normal
/// number get scale 1.
Affine symmetric_affine(const Ranges& ranges, int bits);
/// Asymmetric: q in [0, 2^bits - 1], or [-2^(bits - 1), 2^(bits - 1) - 1] when `is_signed`.
Affine asymmetric_affine(const Ranges& ranges, int bits, bool is_signed = false);

/// As QuantizeLinear: divide by scale, round half to even, add zero_point, saturate. int32 [x]; scale and zero_point are
/// broadcast, and repeated over `block_size` numbers of `axis` when that is given.
Tensor quantize(const Tensor& x, const Affine& affine, int64_t axis = 0, int64_t block_size = 0);
/// float32 [q].
Tensor dequantize(const Tensor& q, const Affine& affine, int64_t axis = 0, int64_t block_size = 0);

/// For each row of float32 rows [groups, n] the symmetric scale [groups] of least squared error, with q in
/// [least, most]: the full range and `steps` - 1 smaller ones, one hundredth apart, are tried.
Tensor least_squares_scale(const Tensor& rows, int64_t least, int64_t most, int steps);

/// Codes [groups, n] of float32 rows [groups, n] at these scales [groups], in [least, most]: the nearest ones, except that
/// the fewest needed move to the other neighbour so that the errors of a row sum to at most half a code. Inputs that
/// share a sign then meet no systematic error (SQuant, arXiv 2202.07471). Zeros stay zero.
Tensor balanced_codes(const Tensor& rows, const Tensor& scale, int64_t least, int64_t most);

/// 10 log10(sum x^2 / sum (x - y)^2); 200 where there is no error.
double sqnr_db(const Tensor& x, const Tensor& y);

}  // namespace niwaki
