#pragma once

#include "compress/tensor.h"

#include <vector>

namespace niwaki {

enum class OptimizerKind { adamw, sgd };

/// What a step needs to know; LibTorch's updates (AdamW with betas 0.9 and 0.999, SGD with momentum as torch.optim.SGD).
struct StepOptions {
  OptimizerKind optimizer = OptimizerKind::adamw;
  double learning_rate = 1e-3, weight_decay = 0, momentum = 0.9;
};

/// What an optimizer remembers of each tensor: `first` is the momentum, `second` the squares of AdamW.
struct Moments {
  std::vector<Tensor> first, second;
  std::vector<int64_t> updates;              // made to each tensor so far
};

/// Zeros for these tensors.
Moments make_moments(const std::vector<Tensor>& weights, OptimizerKind optimizer);
/// Changes weights[i] and its moments in place for gradient `gradient`.
void update(const Tensor& weights, const Tensor& gradient, Moments& moments, size_t i, const StepOptions& options);

}  // namespace niwaki
