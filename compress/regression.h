#pragma once

#include "compress/columns.h"
#include "compress/dataset.h"
#include "compress/executor.h"
#include "compress/progress.h"

namespace niwaki {

/// Second moments of what a linear node of an edited graph reads (x) and what it should make (y), double, summed over samples
/// and positions: all that least squares needs.
struct Regression {
  Tensor products;                           // [groups, in, in]: sum of x x^T
  Tensor cross;                              // [groups, out, in]: sum of y x^T
  Tensor input_sums, target_sums;            // [groups, in], [groups, out]
  Tensor target_squares;                     // [groups, out]
  Tensor products_of_means, cross_of_means, squares_of_means;   // each sample's positions replaced by their mean
  int64_t count = 0;

  void add(const Regression& more);
};

/// A node of the edited graph, and the one of the original whose outputs it should have.
struct FittedNode {
  LinearView edited, original;
  Tensor kept = {};                          // int64 [out]: outputs of the original that are left; undefined: all
  /// Where an Add follows: its result in the original, and what it adds in the edited graph. The target is then the one less the
  /// other, so that the node makes up for what the stream beside it lost.
  ValueId sum = ValueId::absent, beside = ValueId::absent;
};

struct RegressionPair {
  Regression fit, held_out;                  // every fourth sample is held out
};

/// Runs both graphs on the same samples; x from the edited one, y from the original, at the same positions.
std::map<NodeId, RegressionPair> collect_regressions(const Graph& edited, const Graph& original, std::span<const FittedNode> nodes,
                                                     const Dataset& data, const PositionLimit& positions, Progress& progress);

}  // namespace niwaki
