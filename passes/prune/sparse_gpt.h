#pragma once

#include "compress/linear_algebra.h"
#include "passes/prune/mask.h"

namespace niwaki {

struct SparseGptOptions {
  double damp = 0.01;
  int64_t step = 32;                         // columns whose zeros are chosen together
  const ColumnGroups* groups = nullptr;      // N:M instead of a count of zeros
  int64_t num_kept = 0;                      // of each group
  Tensor zeros;                              // bool [rows, n], weights that go whatever they cost; undefined: those that are 0
  bool is_float = false;                     // computes in float: half the time of wide layers
};

struct SparseWeights {
  Tensor weights;                            // double [rows, n]; zeros where the mask is false
  Tensor mask;                               // bool [rows, n], true = keep
  double loss = 0;                           // |dW X|^2 + lambda |dW|^2 over the live columns
  SolveRecord record;
};

/// Chooses zeros and makes up for them column by column (SparseGPT, arXiv 2301.00774), for weights [rows, n] and Gram
/// [n, n]. Exactly `num_zeros` go, or more where more were zero before. Inputs that the data never excites go
/// first, by magnitude, and otherwise keep their weights.
SparseWeights sparse_gpt(const Tensor& weights, const Tensor& gram, int64_t num_zeros, const SparseGptOptions& options = {});

/// w^2 / inverse(H + lambda I)_jj: what the layer's loss grows by when one weight goes and all others make up for it (OBS).
/// double [rows, n]; below 0, and lowest for the smallest, where the data never excites the input.
Tensor obs_scores(const Tensor& weights, const Tensor& gram, double damp = 0.01);

}  // namespace niwaki
