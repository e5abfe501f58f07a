#pragma once

#include "compress/axes/axis_classes.h"
#include "compress/dataset.h"
#include "compress/pass.h"
#include "compress/regression.h"
#include "compress/sensitivity.h"
#include "passes/prune/residual_blocks.h"

#include <set>

namespace niwaki {

/// What a fit found: the weights nearest to the present ones that come closest to the targets.
struct LinearFit {
  Tensor rows, bias;                         // double [groups, out, in], [groups, out]
  double damp = 0;                           // chosen on held-out samples, of the mean moment; 0: the weights stay
  double error_before = 0, error = 0;        // relative squared error on the held-out samples
};

/// Least squares towards the targets, drawn to `rows` [groups, out, in] (algorithms.md 5.8; asymmetric reconstruction, 1707.06168).
/// With `has_bias` the means are matched exactly. How strongly it is drawn is chosen on the held-out samples.
/// Errors that all positions of a sample share count `coherence` times.
LinearFit fit_linear(const RegressionPair& pair, const Tensor& rows, bool has_bias, double coherence = 1);

/// True if the weight of a linear node may be fitted: a constant that it alone reads, columns that are known.
bool can_refit(const Graph& graph, const LinearView& view);

/// Aims a node that makes the branch of a residual sum at the sum: what earlier nodes lost of the stream, this one can give back.
/// Where its result stands for another value of the original, it is aimed at that one.
void aim_at_sum(const Graph& graph, const Graph& original, FittedNode& fitted, const StandIns& stand_ins = {});

/// Fits these nodes of `graph` to the outputs of `original`, in order, a stage of consecutive nodes at a time, on what the edited
/// network then computes.
void refit_linear_nodes(Graph& graph, const Graph& original, std::span<const FittedNode> nodes, const std::map<NodeId, OutputSensitivity>& sensitivity,
                        int max_stages, PassContext& context);

/// Fits every linear node of `graph` behind a removed channel to the outputs of `original`, in order, a stage of consecutive nodes at
/// a time, on what the pruned network then computes. Nodes in `kept` stay. `classes` are those of `original`.
void repair_channels(Graph& graph, const Graph& original, const AxisClasses& classes, const std::set<ClassId>& removed,
                     const std::set<NodeId>& kept, const std::map<NodeId, OutputSensitivity>& sensitivity, int max_stages, PassContext& context);

}  // namespace niwaki
