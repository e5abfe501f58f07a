#pragma once

#include "compress/graph.h"

#include <set>

namespace niwaki {

/// Weights, or the moments that an optimizer keeps of them, with +0.0 where the mask (bool, true = keep) is false: no -0.0, no
/// drift, whatever stood there. To be called after every step of the optimizer.
Tensor apply_mask(const Tensor& weights, const Tensor& mask);

/// Masks (bool, true = keep) of those constants of rank 2 and more in which 1 % to 99.99 % are exactly zero: what a pruned
/// model must keep when it is trained.
std::map<ValueId, Tensor> masks_of_zeros(const Graph& graph, const std::set<ValueId>& trainable);

}  // namespace niwaki
