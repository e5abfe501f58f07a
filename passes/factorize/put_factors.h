#pragma once

#include "passes/factorize/factor_units.h"

namespace niwaki {

struct PlacedFactors {
  std::vector<Tensor> factors;               // first to last, as LayerFactors gives them
  Tensor missing;                            // what their product lacks of the unit's rows
};

/// Puts the factors of this option in the place of a unit of `before`, of which `graph` is a copy, edited or not; with statistics,
/// biases take what the product lacks on the mean.
PlacedFactors put_factors(Graph& graph, const Graph& before, RankedUnit& unit, const FactorOption& option, const Statistics* statistics);

}  // namespace niwaki
