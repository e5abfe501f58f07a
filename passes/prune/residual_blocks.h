#pragma once

#include "compress/macs.h"

#include <set>

namespace niwaki {

/// Add(x, f(x)) where f reads the graph only through x and constants, and x has the shape of the sum.
struct ResidualBlock {
  NodeId add;
  size_t skip_index;                         // of the Add: the input that goes around the block
  std::set<NodeId> nodes;                    // what nobody would read without the block, the Add included
};

/// A sum of two computed values that is no block, and why.
struct OtherSum {
  NodeId add;
  std::string reason;
};

struct ResidualBlocks {
  std::vector<ResidualBlock> blocks;         // in the order of the graph
  std::vector<OtherSum> others;
};

/// The blocks of the main body. Integers and truth values (masks, positions, lengths) may come from anywhere.
ResidualBlocks find_residual_blocks(const Graph& graph, const KnownSizes& sizes);

/// Values of an edited graph that should be what another value of the original is.
using StandIns = std::map<ValueId, ValueId>;

/// Replaces the sums of these blocks (in the order of the graph) by what goes around them, and removes what nobody reads then.
///   before   s = Add(x, f(x)); y = Relu(s)
///   after    y = Relu(x), and y = x where x comes from a Relu
/// Returns values in front that nothing but removed blocks read: they may become what the sums were.
StandIns remove_blocks(Graph& graph, const std::vector<const ResidualBlock*>& blocks);

}  // namespace niwaki
