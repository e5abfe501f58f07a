#pragma once

#include "compress/linear_view.h"

namespace niwaki {

/// Where the outputs of a linear node get their constant from: an input of its own (Conv, Gemm) or an Add of a constant vector
/// that alone reads a MatMul.
struct BiasPlace {
  NodeId node;
  size_t index;                              // of the input
  ValueId constant = ValueId::absent;        // absent: there is none yet
};

/// The place, or nothing where a constant cannot be added without another node: a MatMul without Add, a bias that is computed.
std::optional<BiasPlace> bias_place(const Graph& graph, const LinearView& view);
/// Adds `more` [out] to the outputs; keeps the shape of a bias that is there. Returns the bias.
ValueId add_to_bias(Graph& graph, const LinearView& view, const BiasPlace& place, const Tensor& more);

}  // namespace niwaki
