#pragma once

#include "compress/pass.h"

namespace niwaki {

struct FoldConstantsOptions {
  void validate() const {}
  Needs needs() const { return {}; }
  static constexpr auto fields() { return std::tuple{}; }
};

/// Computes nodes whose inputs are all constant, and Shape and Size of known dimensions.
///   before   t = Transpose(w)   y = MatMul(x, t)
///   after    y = MatMul(x, t)   with the initializer t
/// Skips random operators, DequantizeLinear (it would undo compression), bodies, and results that would make the
/// file bigger.
void fold_constants(Graph& graph, const FoldConstantsOptions& options, PassContext& context);

}  // namespace niwaki
