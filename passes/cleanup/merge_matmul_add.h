#pragma once

#include "compress/pass.h"

namespace niwaki {

struct MergeMatmulAddOptions {
  void validate() const {}
  Needs needs() const { return {}; }
  static constexpr auto fields() { return std::tuple{}; }
};

/// Merges MatMul with a constant matrix and the Add of a constant bias into Gemm, which has an
/// integer kernel with bias.
///   before   h = MatMul(x, w)   y = Add(h, b)
///   after    y = Gemm(x, w, b)
/// Needs x of two dimensions and b of one number per output; skips what other nodes, or the caller,
/// read in between.
void merge_matmul_add(Graph& graph, const MergeMatmulAddOptions& options, PassContext& context);

}  // namespace niwaki
