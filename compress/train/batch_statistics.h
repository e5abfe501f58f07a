#pragma once

#include "compress/graph.h"

#include <span>

namespace niwaki {

/// Gives each of these batch norms a mean and a variance that nothing else reads.
void separate_statistics(Graph& graph, std::span<const NodeId> norms);

/// The graph as training runs it:
///   before   y = BatchNormalization(x, scale, shift, mean, variance)
///   after    y = NormalizeBatch(x, scale, shift)
Graph with_batch_statistics(const Graph& graph, std::span<const NodeId> norms);

}  // namespace niwaki
