#pragma once

#include "compress/graph.h"
#include "compress/options.h"

namespace niwaki {

/// Multiply-accumulates of a node at batch 1; 0 where it has none, nullopt where its shapes are not known.
std::optional<double> node_macs(const Graph& graph, NodeId node);
/// "[N, 3, 32, 32]", "?" where nothing is known.
std::string shape_words(const Value& value);
/// {name, dtype, shape} with numbers, names and null.
Json value_json(const Graph& graph, ValueId id);
/// Names and counts of the operators, "com.microsoft.Attention" outside ai.onnx.
std::map<std::string, int64_t> op_counts(const Graph& graph);
std::string op_name(const Node& node);

}  // namespace niwaki
