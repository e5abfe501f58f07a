#pragma once

#include "compress/macs.h"
#include "passes/prune/channel_families.h"
#include "passes/prune/choose_widths.h"

namespace niwaki {

/// Multiply-accumulates of the graph as a function of the units that each family loses (one class of each block is a unit).
std::vector<CostTerm> mac_terms(const Graph& graph, const AxisClasses& classes, const std::vector<ChannelFamily>& families, const KnownSizes& sizes);
/// Numbers in the weights of linear and recurrent nodes, likewise.
std::vector<CostTerm> weight_terms(const Graph& graph, const AxisClasses& classes, const std::vector<ChannelFamily>& families);
/// Microseconds of linear nodes on the target by its cost table, likewise: channels of a float Conv count in blocks of 16.
std::vector<CostTerm> time_terms(const Graph& graph, const AxisClasses& classes, const std::vector<ChannelFamily>& families, const KnownSizes& sizes);

}  // namespace niwaki
