#pragma once

#include "compress/linear_view.h"
#include "compress/macs.h"
#include "compress/sensitivity.h"
#include "compress/statistics.h"
#include "passes/factorize/layer_factors.h"

namespace niwaki {

/// What is factorized together.
struct FactorUnit {
  std::vector<LinearView> nodes;             // in order
  bool is_tied = false;                      // all use one weight; else, where several, all read the same columns
  ValueId table = ValueId::absent;           // else `gathers` read rows of it; `nodes`, where there are any, multiply by it, turned
  std::vector<NodeId> gathers = {};

  std::vector<NodeId> node_ids() const;
};

/// A unit and all that is known of its factors.
struct RankedUnit : FactorUnit {
  LayerFactors factors;
  double energy = 0;
  double copies = 0;                         // weights of turned copies of its table, which go with it                         // of its outputs, weighted
};

/// Why this node cannot be factorized, or "".
std::string why_not_factorized(const Graph& graph, const LinearView& view);

/// The linear nodes in `allowed`: uses of one weight together, then MatMul and Gemm that read the same value.
std::vector<FactorUnit> factor_units(const Graph& graph, const std::vector<LinearView>& allowed);

/// True if a bias can take the mean of every node of the unit.
bool has_bias_places(const Graph& graph, const FactorUnit& unit);

/// The unit in numbers. Without statistics: nearest weights. `sensitivity` weighs the outputs; empty: by their energy.
FactoredLayer layer_of(const Graph& graph, const FactorUnit& unit, const Statistics* statistics,
                       const std::map<NodeId, OutputSensitivity>& sensitivity, const KnownSizes& sizes);

}  // namespace niwaki
