#pragma once

#include "compress/pass.h"

namespace niwaki {

struct SimplifyShufflesOptions {
  void validate() const {}
  Needs needs() const { return {}; }
  static constexpr auto fields() { return std::tuple{}; }
};

/// Replaces chains that only pick and order channels, such as channel shuffles, by one Gather per
/// result.
///   before   h = Reshape(Transpose(Reshape(x)))   y = Gather(h, 0)   z = Gather(h, 1)
///   after    y = Gather(x, [0, 2, 4, ...], axis=1)   z = Gather(x, [1, 3, 5, ...], axis=1)
/// Proven by running the chain on the positions of x; skips chains that move data in other ways or
/// that others read.
void simplify_shuffles(Graph& graph, const SimplifyShufflesOptions& options, PassContext& context);

}  // namespace niwaki
