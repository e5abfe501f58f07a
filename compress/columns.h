#pragma once

#include "compress/linear_view.h"

namespace niwaki {

/// Which output positions of a sample count: all, or as many as `limit` drawn by (seed, node, sample).
struct PositionLimit {
  int64_t limit = 0;                         // 0: all
  uint64_t seed = 0;
};

/// The columns that a linear node reads, one per sample and output position: float [groups, T, in], in = (c, kh, kw) as
/// ONNX orders a weight. Positions are drawn from all, so that padded borders keep their share. `first` numbers the sample.
Tensor read_columns(const Graph& graph, const LinearView& view, const Tensor& input, const PositionLimit& positions, int64_t first);
/// What the node makes at the same positions: [groups, T, out per group].
Tensor read_targets(const Graph& graph, const LinearView& view, const Tensor& output, const PositionLimit& positions, int64_t first);
/// Of columns (or targets) of `samples` samples: per sample the mean times the root of the number of its positions, so that the
/// squares of these are the part of the squares that all positions of a sample share. [groups, samples, in]
Tensor sample_means(const Tensor& columns, int64_t samples);
/// Sum of all columns, in double [groups * in]; adds their number to `count`.
Tensor sum_columns(const Graph& graph, const LinearView& view, const Tensor& input, int64_t& count);
/// True if read_columns knows the node: Conv, Gemm with transA = 0, MatMul with a constant of rank 2 on the right.
bool has_columns(const Graph& graph, const LinearView& view);
/// Equal text: equal columns.
std::string columns_key(const Graph& graph, const LinearView& view);

}  // namespace niwaki
