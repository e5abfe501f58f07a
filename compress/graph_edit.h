#pragma once

#include "compress/graph.h"

namespace niwaki {

/// The constant of a value, unless a caller may override it: from IR version 4 on, an initializer that is also an
/// input of the model is only a default. Models that list most initializers as inputs do so by an exporter's habit.
const Constant* fixed_constant(const Graph& graph, ValueId id);
/// True if every element of a fixed constant is exactly `number`.
bool is_constant_scalar(const Graph& graph, ValueId id, double number);
/// Input `index` of a node, or ValueId::absent where it is left out.
ValueId input_or_absent(const Node& node, size_t index);
/// The integers of a fixed constant, or nullopt: absent, computed at run time, or no integers.
std::optional<std::vector<int64_t>> constant_ints(const Graph& graph, ValueId id);
/// True if one node alone reads the value, once, and it is no output of any body.
bool has_single_use(const Graph& graph, ValueId id);
/// True if a graph input or output, of the main body or of any other.
bool is_interface(const Graph& graph, ValueId id);

/// Adds an initializer to the main body, and an input where initializers are inputs too.
ValueId new_constant(Graph& graph, const std::string& name, Constant constant);
/// Makes a value of the main body, which has lost its producer, an initializer.
void become_constant(Graph& graph, ValueId id, Constant constant);
/// Gives the node this constant as input `index`: in place where no other node reads the old one, else as `name`.
ValueId replace_constant_input(Graph& graph, NodeId node, size_t index, Constant constant, const std::string& name);
/// Removes a constant that nobody reads, and its input; false if it is read or interface.
bool remove_unused_constant(Graph& graph, ValueId id);
/// Removes a node, and the constants that it alone read.
void remove_with_constants(Graph& graph, NodeId node);
/// Removes a node whose `output` equals its `input`; names of the interface stay. False where both are interface.
bool bypass(Graph& graph, NodeId node, ValueId input, ValueId output);

}  // namespace niwaki
