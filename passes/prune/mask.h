#pragma once

#include "compress/tensor.h"

#include <vector>

namespace niwaki {

/// Zeros among `size` weights at a sparsity of 0 to 1, rounded to the nearest whole number.
int64_t zero_count(int64_t size, double sparsity);

/// True = keep; exactly `num_zeros` of the lowest scores go, ties by flat index. bool, in the shape of `scores`.
Tensor lowest_mask(const Tensor& scores, int64_t num_zeros);
/// As lowest_mask, in each row of [rows, n]; the counts of rows differ by at most one and sum to `num_zeros`.
Tensor lowest_mask_by_row(const Tensor& scores, int64_t num_zeros);
/// As lowest_mask, over all tensors together: ties by tensor, then flat index.
std::vector<Tensor> lowest_masks(const std::vector<Tensor>& scores, int64_t num_zeros);

/// Columns of [rows, inputs * taps], ONNX order, arranged so that each N:M group is a run of them.
struct ColumnGroups {
  std::vector<int64_t> order;                // column at each place: tap by tap, along the inputs
  std::vector<int64_t> starts;               // place of each group's first column; the last group of a tap may be short
};
ColumnGroups column_groups(int64_t inputs, int64_t taps, int64_t group_size);

/// True = keep; of each group all but the `num_kept` highest scores go, ties by place. bool [rows, n].
Tensor pattern_mask(const Tensor& scores, const ColumnGroups& groups, int64_t num_kept);

/// |w| / root mean square of the layer: comparable between layers.
Tensor rms_scores(const Tensor& weights);
/// w^2 / sum of w^2 over the weights not smaller (LAMP, arXiv 2010.07611).
Tensor lamp_scores(const Tensor& weights);

}  // namespace niwaki
