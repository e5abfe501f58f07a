#pragma once

#include "compress/pass.h"

namespace niwaki {

struct ReestimateBatchNormOptions {
  void validate() const {}
  Needs needs() const { return {.calibration = true}; }
  static constexpr auto fields() { return std::tuple{}; }
};

/// Gives BatchNormalization nodes mean and variance of what they read now, pooled over all calibration samples, node by node
/// in order; all weights stay.
///   before   y = BatchNormalization(x, scale, shift, mean, variance)
///   after    y = BatchNormalization(x, scale, shift, E[x], E[(x - E[x])^2])
/// A channel that never changes keeps its variance. Skips training mode and parameters that are no constants.
void reestimate_batch_norm(Graph& graph, const ReestimateBatchNormOptions& options, PassContext& context);

/// After a repair: the same for nodes behind what differs from `original`, kept where it brings the answers on calibration
/// samples nearer to those of `original`.
void settle_batch_norm(Graph& graph, const Graph& original, PassContext& context);

}  // namespace niwaki
