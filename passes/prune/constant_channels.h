#pragma once

#include "compress/graph.h"

#include <map>

namespace niwaki {

/// Channels of a value that hold the same number at every position of every sample.
struct ConstantChannels {
  size_t axis;                               // that counts the channels
  std::vector<std::optional<double>> numbers;
};

/// The constant channels of every value of the main body that has some, as far as one forward sweep can tell:
/// zero rows (to `tolerance`, relative to the largest weight of the node) with a bias, what depends on constant channels alone, and functions of those.
std::map<ValueId, ConstantChannels> constant_channels(const Graph& graph, double tolerance = 0);

/// True if a Conv may read the padding around its input.
bool is_padded(const Node& conv);

}  // namespace niwaki
