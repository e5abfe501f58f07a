#pragma once

#include "compress/pass.h"

namespace niwaki {

struct FoldBatchNormOptions {
  void validate() const {}
  Needs needs() const { return {}; }
  static constexpr auto fields() { return std::tuple{}; }
};

/// Folds BatchNormalization into the Conv, ConvTranspose, Gemm or MatMul before it, else into the Conv after it.
///   before   h = Conv(x, w, b)   y = BatchNormalization(h, scale, shift, mean, variance)
///   after    y = Conv(x, w * k, (b - mean) * k + shift)   with k = scale / sqrt(variance + epsilon)
/// In double, rounded once. Skips what other nodes read, what is not exact under padding, and |k| > 1e6.
void fold_batch_norm(Graph& graph, const FoldBatchNormOptions& options, PassContext& context);

}  // namespace niwaki
