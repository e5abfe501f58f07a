#pragma once

#include "compress/graph.h"

namespace niwaki {

enum class LinearKind { conv, conv_transpose, gemm, matmul };

/// A Conv, ConvTranspose, Gemm or MatMul with a constant weight, seen as a matrix [out, in] (algorithms.md 0.1).
struct LinearView {
  NodeId node;
  LinearKind kind;
  ValueId input, weight, output;
  ValueId bias = ValueId::absent;            // constant, one number per output; absent: none
  size_t input_index = 0, weight_index = 1;
  int64_t channel_axis = 0;                  // of the weight: one scale per index of it
  int64_t groups = 1;
};

/// Every node that is one, of the main body, in order. MatMul counts with a constant of rank >= 2 on either side.
std::vector<LinearView> linear_views(const Graph& graph);
std::optional<LinearView> linear_view(const Graph& graph, NodeId node);

/// The weight as [out, in] rows; for groups, all groups' rows below each other.
Tensor weight_rows(const LinearView& view, const Tensor& weight);

}  // namespace niwaki
