#pragma once

#include "passes/train/answers.h"
#include "passes/train/finetune.h"

namespace niwaki {

/// What a model is trained towards where no teacher speaks.
enum class LabelSource { labels, shifted_input, input };
struct LabelTarget {
  bool is_classes = true;                    // cross-entropy, else squared error
  bool is_shares = false;                    // scores are compared behind a sigmoid
  LabelSource source = LabelSource::labels;
  size_t input = 0;                          // of Shard::inputs, where it is the target
};

/// E1706 where there is nothing to train towards, E2013 where a loss does not fit the output.
LabelTarget label_target(const Graph& graph, const Answer& answer, LabelLoss wanted, const Dataset& data);
/// "the cross-entropy of its labels".
std::string describe(const LabelTarget& target);
LossSum label_loss(const LabelTarget& target, const Tensor& scores, const Shard& shard);

}  // namespace niwaki
