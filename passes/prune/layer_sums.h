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

/// Where an Add follows a node: its result in the original, and what it adds in the edited graph. The node should make the one
/// less the other, so that it makes up for what the stream beside it lost.
struct SumAim {
  ValueId sum, beside;
};
using SumAims = std::map<NodeId, SumAim>;

/// Runs the data through the original and the edited graph, and sums over the columns that `views` read in the edited one
/// and the outputs that they had in the original one, or what `aims` ask for. Both graphs have the same nodes and values.
std::map<NodeId, LayerSums> collect_layer_sums(const Graph& original, const Graph& edited, const std::vector<LinearView>& views,
                                               const Dataset& data, uint64_t seed, Progress& progress, const SumAims& aims = {});

}  // namespace niwaki
