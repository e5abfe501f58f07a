#pragma once

#include "compress/pass.h"

namespace niwaki {

struct SimplifyShapesOptions {
  void validate() const {}
  Needs needs() const { return {}; }
  static constexpr auto fields() { return std::tuple{}; }
};

/// Follows lengths through Shape, Gather, Slice, Concat, Mul, Equal, Where and the like element by element, and replaces
/// what is the same for every input.
///   before   y = Reshape(x ["N", 16, 4], Concat(Unsqueeze(Gather(Shape(x), 0)), [64]))
///   after    y = Reshape(x ["N", 16, 4], [0, 64])
/// Lengths that are known become constants; a target copies a length with 0, or leaves one to -1; bounds at or past the
/// end become "to the end"; equal lengths are computed once; Reshape, Expand and Slice that change nothing go, and of two Reshapes the first.
/// Leaves alone what some batch or length could tell apart.
void simplify_shapes(Graph& graph, const SimplifyShapesOptions& options, PassContext& context);

}  // namespace niwaki
