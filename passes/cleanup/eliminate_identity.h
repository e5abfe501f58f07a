#pragma once

#include "compress/pass.h"

namespace niwaki {

struct EliminateIdentityOptions {
  void validate() const {}
  Needs needs() const { return {}; }
  static constexpr auto fields() { return std::tuple{}; }
};

/// Removes nodes whose output equals their input: Identity, Dropout at inference, Cast to the same type, x * 1,
/// x + 0, Transpose, Reshape, Slice, Pad, Concat and others that move nothing.
///   before   h = Relu(x)   y = Mul(h, 1)
///   after    y = Relu(x)
/// Skips a node between two values of the interface: both names must stay.
void eliminate_identity(Graph& graph, const EliminateIdentityOptions& options, PassContext& context);

}  // namespace niwaki
