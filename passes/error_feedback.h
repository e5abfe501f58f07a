#pragma once

#include "compress/tensor.h"

#include <span>
#include <vector>

namespace niwaki {

/// What the columns of a weight become, one after the other: quantized, masked, or both.
class ColumnChoice {
 public:
  virtual ~ColumnChoice() = default;
  /// Columns [begin, begin + current.size(1)) as they are before the first of them is fixed: [rows, width].
  virtual void start(int64_t begin, const Tensor& current) = 0;
  /// Numbers that column `column` gets in rows [first_row, first_row + now.size()); several threads, for rows apart.
  virtual void choose(int64_t column, int64_t first_row, std::span<const double> now, std::span<double> chosen) const = 0;
};

struct ErrorFeedback {
  Tensor weights;                            // [rows, n], of the type computed in
  double loss = 0;                           // sum of e^2 = |dW X|^2 + lambda |dW|^2, exactly
};

/// Fixes columns from left to right and lets those after them make up for each error (GPTQ, arXiv 2210.17323; SparseGPT,
/// arXiv 2301.00774). `upper` is U of inverse_upper; `steps` are the first columns of the steps, ascending from 0, at each
/// of which `choice` sees current values. Computes in the type of `weights` [rows, n], double or float, or in float all the same.
ErrorFeedback feed_back_errors(const Tensor& weights, const Tensor& upper, std::span<const int64_t> steps, ColumnChoice& choice, bool is_float = false);

/// 0, width, 2 width, ... below `size`.
std::vector<int64_t> even_steps(int64_t size, int64_t width);

}  // namespace niwaki
