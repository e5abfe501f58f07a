#pragma once

#include "compress/tensor.h"

namespace niwaki {

/// Where masks move while a model is trained: every `kMoveEvery` steps, over the first `kMovesUntil` of them.
constexpr int64_t kMoveEvery = 20;
constexpr double kMovesUntil = 0.7;

/// The mask (bool, true = keep) of a step of dynamic network surgery (1608.04493): of the weights behind the mask, which go on
/// being trained, the largest |w| are kept, as many as before. A weight returns where it outgrows a kept one by more than the
/// two thresholds are apart, 0.9 and 1.1 of a number that lies between; ties go by flat index.
Tensor moved_mask(const Tensor& weights, const Tensor& mask);

}  // namespace niwaki
