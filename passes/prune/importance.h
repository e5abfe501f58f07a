#pragma once

#include "compress/tensor.h"

#include <array>

namespace niwaki {

enum class Importance { automatic, magnitude, wanda, sparse_gpt };
constexpr auto names(Importance) { return std::array{"auto", "magnitude", "wanda", "sparse_gpt"}; }

/// |w|; double, in the shape of the weights.
Tensor magnitude_scores(const Tensor& weights);
/// |w_ij| * sqrt(H_jj) of weights [rows, n] and Gram [n, n] (Wanda, arXiv 2306.11695): 0 for inputs that are always 0.
Tensor wanda_scores(const Tensor& weights, const Tensor& gram);

/// tr(dW H dW^T): the squared output error of `changed` against `weights`, both [rows, n].
double output_error(const Tensor& changed, const Tensor& weights, const Tensor& gram);
/// output_error as a share of tr(W H W^T); 0 where that is 0.
double relative_error(const Tensor& changed, const Tensor& weights, const Tensor& gram);

}  // namespace niwaki
