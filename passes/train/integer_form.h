#pragma once

#include "compress/graph.h"

namespace niwaki {

/// How a constant of integers spells the codes of a tensor.
struct IntegerForm {
  enum class Kind { plain, rows, blocks };   // as it is; rows of packed bytes; rows filled up to whole blocks
  Kind kind = Kind::plain;
  int bits = 8;                              // of rows and blocks
  int64_t block_size = 0;
};

/// The codes of `constant`, float32 in the sizes of the tensor.
Tensor read_codes(const Constant& constant, const IntegerForm& form, const std::vector<int64_t>& sizes);
/// The constant with other codes. `zero_point` [rows, blocks] fills up blocks.
Constant write_codes(const Constant& constant, const IntegerForm& form, const Tensor& codes, const Tensor& zero_point);

}  // namespace niwaki
