#pragma once

#include "compress/dataset.h"
#include "compress/linear_view.h"
#include "compress/progress.h"

namespace niwaki {

/// How much the model's answer changes with the output of a linear node, per output channel.
struct OutputSensitivity {
  Tensor gradient;                           // double [out]: sum over positions of g^2, mean over samples
  Tensor coherent;                           // double [out]: of (sum over positions of g)^2: what an error counts that all share
  Tensor taylor;                             // double [out]: of (g * y)^2: what zeroing the channel costs, to second order

  /// How much heavier an error that all positions share is than one that differs from place to place; 1 for one position.
  double coherence() const;
};

/// Gradients g of the answer's log likelihood, with answers drawn from the model itself, so that half of sum(g^2 * error^2)
/// estimates the divergence in nats that an error of the output causes (the diagonal of the Fisher information, 2002.08056
/// section 5 for its use in compression). Outputs that are no class scores count by their relative squared error.
/// Nodes that no gradient reaches are left out; empty where the graph has no gradient at all.
std::map<NodeId, OutputSensitivity> output_sensitivity(const Graph& graph, std::span<const LinearView> views, const Dataset& data,
                                                       int64_t samples, uint64_t seed, Progress& progress);

}  // namespace niwaki
