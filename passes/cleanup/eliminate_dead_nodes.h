#pragma once

#include "compress/pass.h"

namespace niwaki {

struct EliminateDeadNodesOptions {
  void validate() const {}
  Needs needs() const { return {}; }
  static constexpr auto fields() { return std::tuple{}; }
};

/// Removes nodes and initializers, of all bodies, that no output depends on.
///   before   y = Relu(x)   z = Exp(x)   output y
///   after    y = Relu(x)                output y
/// Inputs and outputs of the model stay; where initializers are inputs by habit, both go.
void eliminate_dead_nodes(Graph& graph, const EliminateDeadNodesOptions& options, PassContext& context);

}  // namespace niwaki
