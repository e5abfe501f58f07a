#pragma once

#include "compress/pass.h"

#include <tuple>

namespace niwaki {

struct ExpandStoredFormsOptions {
  void validate() const {}
  Needs needs() const { return {}; }
  static constexpr auto fields() { return std::tuple{}; }
};

/// Makes weights that a model stores in a smaller form plain constants again, for passes that read weights.
///   before   w = Mul(Cast(codes), scale), y = MatMul(x, w)
///   after    y = MatMul(x, w)
/// The bits are those that a runtime would compute. DequantizeLinear stays, as do products of constants, fills and masks
/// (no numbers are stored for them), what a kept node reads, and other bodies than the main one.
void expand_stored_forms(Graph& graph, const ExpandStoredFormsOptions& options, PassContext& context);

}  // namespace niwaki
