#pragma once

#include "compress/pass.h"

#include <tuple>

namespace niwaki {

struct ShortenNamesOptions {
  bool keep_node_names = false;
  void validate() const {}
  Needs needs() const { return {}; }
  static constexpr auto fields() {
    using O = ShortenNamesOptions;
    return std::tuple{field("keep_node_names", &O::keep_node_names, "leave the names of nodes as they are; values are renamed alike")};
  }
};

/// Renames inner values to counters of base 36, the most used ones first, and drops the names of nodes.
///   before   MatMul "layers.0/wq" (onnx::MatMul_1650, /attention/Mul_output_0)
///   after    MatMul (4, a)
/// Names of the model's inputs and outputs never change; nor do those that other parts of the file mention.
void shorten_names(Graph& graph, const ShortenNamesOptions& options, PassContext& context);

}  // namespace niwaki
