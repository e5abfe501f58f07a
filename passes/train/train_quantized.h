#pragma once

#include "passes/train/train_options.h"

namespace niwaki {

/// Trains a graph of floats as it is given, with a report of its own.
using TrainFloats = std::function<void(Graph& graph, PassContext& context)>;

/// Quantizes the graph as `quantize` does, then trains what its integers and scales stand for, rounded as they are, and writes
/// them anew (1902.08153). Ranges stay over the last fifth of the steps. Where training did not help, what `quantize` would
/// give is the result. E3324 where nothing would be quantized.
void train_quantized(Graph& graph, const TrainOptions& options, PassContext& context, const TrainFloats& train);

}  // namespace niwaki
