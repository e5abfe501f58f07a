#pragma once

#include "compress/train/weight_mask.h"

#include <vector>

namespace niwaki {

/// Sparsity that grows along a cubic curve: s = last + (first - last) (1 - (step - begin) / (end - begin))^3 (1710.01878 eq. 1).
struct GradualSchedule {
  double first = 0, last = 0;                // sparsities
  int64_t begin = 0, end = 1, interval = 1;  // steps; masks are made anew every `interval`
  double sparsity(int64_t step) const;
  bool is_due(int64_t step) const;
};

/// The mask that also drops the lowest scores until `num_zeros` are gone; what is gone stays gone.
Tensor narrower_mask(const Tensor& scores, const Tensor& mask, int64_t num_zeros);

enum class MaskScope { layer, global };
/// Masks of the next round of iterative magnitude pruning (1803.03635): `share` of what is left goes, the smallest |w| of each
/// layer or of all layers. Each mask lies inside the one before.
std::vector<Tensor> next_round(const std::vector<Tensor>& weights, const std::vector<Tensor>& masks, double share, MaskScope scope);
/// Weights of an earlier step, byte for byte where they are kept, +0.0 elsewhere (1912.05671).
std::vector<Tensor> rewind(const std::vector<Tensor>& earlier, const std::vector<Tensor>& masks);

/// Gradient of the dense shadow weights of N:M training: straight through, plus decay * w where masked (SR-STE, 2102.04010 eq. 8).
Tensor sr_ste_gradient(const Tensor& gradient, const Tensor& weights, const Tensor& mask, double decay);

}  // namespace niwaki
