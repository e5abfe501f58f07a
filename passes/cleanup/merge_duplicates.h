#pragma once

#include "compress/pass.h"

namespace niwaki {

struct MergeDuplicatesOptions {
  void validate() const {}
  Needs needs() const { return {}; }
  static constexpr auto fields() { return std::tuple{}; }
};

/// Makes equal constants one, and equal nodes with equal inputs one.
///   before   a = Relu(x)   b = Relu(x)   y = Add(a, b)
///   after    a = Relu(x)                 y = Add(a, a)
/// Of the main body. Skips random nodes, nodes with a body, and nodes whose outputs are outputs of the model.
void merge_duplicates(Graph& graph, const MergeDuplicatesOptions& options, PassContext& context);

}  // namespace niwaki
