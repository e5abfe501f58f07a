#pragma once

#include "compress/graph.h"

#include <functional>
#include <set>

namespace niwaki {

/// The float32 constants that training may change: weights, biases, embeddings, and scales and biases of normalizations that
/// reach an output (or `wanted`) through operators with a gradient. Scales and zero_points of quantization, running
/// statistics, limits, exponents and other settings never. A constant read by a node that `is_selected` refuses stays.
std::set<ValueId> trainable_constants(const Graph& graph, const std::vector<ValueId>& wanted = {},
                                      const std::function<bool(NodeId)>& is_selected = {});

/// Nodes that read what depends on `trainable` and pass no gradient on, as "label (Op)".
std::vector<std::string> gradient_cuts(const Graph& graph, const std::set<ValueId>& trainable);

/// E3320, with the nodes that cut the gradient of these constants, or of all numbers where they are none.
[[noreturn]] void refuse_training(const Graph& graph, const std::set<ValueId>& trainable);

/// True for operators through which no gradient comes, whatever they read.
bool cuts_gradient(const Node& node);

}  // namespace niwaki
