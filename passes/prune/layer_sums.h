#pragma once

#include "compress/dataset.h"
#include "compress/executor.h"
#include "compress/linear_view.h"
#include "compress/progress.h"

#include <map>

namespace niwaki {

/// Second moments of what a linear node reads now and what it made in the original model.
struct LayerSums {
  Tensor products;                           // double [groups, in, in]: sum of x x^T
  Tensor sums;                               // double [groups, in]
  Tensor targets;                            // double [groups, out, in]: sum of y x^T
  Tensor target_sums;                        // double [groups, out]
  int64_t count = 0;                         // columns

  void add(const LayerSums& more);
};

/// Runs the data through the original and the edited graph, and sums over the columns that `views` read in the edited one
/// and the outputs that they had in the original one. Both graphs have the same nodes and values.
std::map<NodeId, LayerSums> collect_layer_sums(const Graph& original, const Graph& edited, const std::vector<LinearView>& views,
                                               const Dataset& data, uint64_t seed, Progress& progress);

}  // namespace niwaki
