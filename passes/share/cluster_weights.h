#pragma once

#include "compress/tensor.h"

#include <vector>

namespace niwaki {

struct ClusterOptions {
  int64_t size = 16;                         // centroids at most
  bool keeps_zeros = false;                  // zero is a centroid that stays, and zeros stay zero
  double rate = 0;                           // what a bit costs, in units of the squared error
  int max_iterations = 30;
};

/// Numbers that weights share.
struct Codebook {
  std::vector<double> centroids;             // ascending
  Tensor indices;                            // int64, one per weight
  std::vector<double> objective;             // after each iteration: never larger than before
};

/// Lloyd's algorithm on `weights` (double [n]): the least sum of importance * (w - c)^2 + rate * -log2(share of c), from centroids
/// spread evenly between the least and the largest weight. Centroids that nobody takes are dropped.
Codebook cluster_weights(const Tensor& weights, const Tensor& importance, const ClusterOptions& options);

/// The weights as their centroids.
Tensor shared_values(const Codebook& codebook);

}  // namespace niwaki
