#pragma once

#include "compress/linear_algebra.h"
#include "passes/prune/importance.h"
#include "passes/prune/mask.h"

namespace niwaki {

/// One layer's weights and what is known of its inputs; all [groups, ...].
struct LayerProblem {
  Tensor weights;                            // double [groups, rows, n] as they are
  Tensor wanted;                             // double [groups, rows, n]: what the outputs ask for; often the weights themselves
  Tensor gram;                               // double [groups, n, n]; undefined: magnitude alone, without refit
  int64_t num_zeros = 0;
  const ColumnGroups* pattern = nullptr;     // N:M instead of num_zeros
  int64_t num_kept = 0;
  Importance importance = Importance::sparse_gpt;
  bool refit = true;
};

struct LayerSolution {
  Tensor weights;                            // double [groups, rows, n], +0.0 where pruned
  double relative_error = 0;                 // of the outputs wanted, on the Gram
  SolveRecord record;                        // of the worst conditioned group; num_live summed
};

/// Chooses the zeros of one layer and fits what is left. Zeros of the weights stay.
LayerSolution solve_layer(const LayerProblem& problem);

}  // namespace niwaki
