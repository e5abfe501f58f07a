#pragma once

#include "compress/tensor.h"

namespace niwaki {

/// Rows of numbers as unsigned codes in blocks: x ~ (code - zero_point) * scale.
struct BlockCodes {
  Tensor codes;                              // uint8 [rows, blocks * block_size]; after a row's end: zero_point
  Tensor scale;                              // float32 [rows, blocks], above 0
  Tensor zero_point;                         // uint8 [rows, blocks]; 2^(bits - 1) when symmetric
};

/// Rounds float32 rows [rows, n] to nearest in 4 or 8 bits. `block_size` consecutive numbers, a multiple of 16, share a
/// grid; its range is the part of theirs, extended to 0, that minimises the sum of |error|^2.5. 0 stays exactly 0.
BlockCodes quantize_blocks(const Tensor& rows, int bits, int64_t block_size, bool symmetric);

/// float32 [rows, n].
Tensor dequantize_blocks(const BlockCodes& blocks, int64_t n);

}  // namespace niwaki
