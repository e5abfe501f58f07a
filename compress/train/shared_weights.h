#pragma once

#include "compress/graph.h"

#include <set>

namespace niwaki {

/// Which value each weight has, for constants of rank 2 and more that share few: 3 to 256 different ones, each by four weights
/// on average. int64 codes in the shape of the weight, by value in ascending order.
std::map<ValueId, Tensor> codes_of_shared(const Graph& graph, const std::set<ValueId>& trainable);

/// The gradient of shared values: to each weight the sum over all that share its value (algorithms.md 7.5, 1510.00149).
Tensor shared_gradient(const Tensor& gradient, const Tensor& codes);
/// The square of the length of that gradient, each value counted once.
double shared_squares(const Tensor& gradient, const Tensor& codes);
/// Weights that share a value take that of the first of them, bit for bit.
Tensor tied(const Tensor& weights, const Tensor& codes);

}  // namespace niwaki
