#pragma once

#include "compress/graph.h"

namespace niwaki {

/// Stable text of a graph for dumps and tests: one line per node, values by name, constants by type, shape and digest;
/// node names and ids are left out, so equal graphs have equal text.
std::string text(const Graph& graph);

}  // namespace niwaki
