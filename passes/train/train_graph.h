#pragma once

#include "passes/train/train_options.h"

namespace niwaki {

/// What is trained unless told otherwise: every constant that training may change and --keep and --only let through. Zeros of
/// pruned weights stay, or move as `regrow` says; batch norms whose statistics are to follow the data get ones of their own. E3320
/// where there is nothing.
Training training_of(Graph& graph, const std::vector<ValueId>& wanted, const TrainOptions& options, PassContext& context);

/// Trains, and tells the report what became of it: losses per epoch, what changed, what was left alone.
TrainReport train_and_report(Graph& graph, const Training& training, const TrainOptions& options, PassContext& context);

}  // namespace niwaki
