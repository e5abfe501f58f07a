#pragma once

#include "compress/graph.h"

#include <set>

namespace niwaki {

/// A stretch of the main body between two values that alone carry what weights have touched.
struct Block {
  ValueId input = ValueId::absent;           // absent: the inputs of the model
  ValueId output = ValueId::absent;
  std::vector<NodeId> nodes;                 // what weights have touched, in order
};

/// Float values of the main body, in order, through which everything goes on that depends on `weights`: behind each of them
/// nothing else is read of what stands before it. A single output is the last one. Masks, lengths and other values that no
/// weight has touched may be read anywhere.
std::vector<ValueId> cut_values(const Graph& graph, const std::set<ValueId>& weights);

/// The blocks between these cuts. A stretch without a linear node joins the one before it where it is a batch norm, a bias or
/// an activation, else the one behind it; at the end it belongs to no block. Neighbours with the fewest linear nodes join
/// until there are at most `most`.
std::vector<Block> blocks_between(const Graph& graph, const std::vector<ValueId>& cuts, const std::set<ValueId>& weights, size_t most);

/// The model from `input` (absent: its inputs) to `output`, with the same ids: an input where it was a value in the middle,
/// beside those inputs of the model that are still read.
Graph block_graph(const Graph& graph, ValueId input, ValueId output);

}  // namespace niwaki
