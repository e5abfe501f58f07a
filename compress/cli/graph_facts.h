#pragma once

#include "compress/graph.h"
#include "compress/options.h"

namespace niwaki {

/// "[N, 3, 32, 32]", "?" where nothing is known.
std::string shape_words(const Value& value);
/// {name, dtype, shape} with numbers, names and null.
Json value_json(const Graph& graph, ValueId id);
/// Names and counts of the operators, "com.microsoft.Attention" outside ai.onnx.
std::map<std::string, int64_t> op_counts(const Graph& graph);
std::string op_name(const Node& node);

}  // namespace niwaki
