#include "passes/factorize/put_factors.h"

#include "passes/factorize/factor_nodes.h"
#include "passes/prune/linear_bias.h"

namespace niwaki {
namespace {

/// b += (W - W') E[x], where a bias can take it.
void shift_biases(Graph& graph, const RankedUnit& unit, const Tensor& missing, const Statistics& statistics) {
  int64_t row = 0;
  for (const LinearView& view : unit.nodes) {
    const Gram& gram = statistics.gram(view.node);
    const int64_t count = unit.is_tied ? missing.size(0) : graph.constant(linear_view(graph, view.node)->weight)->sizes[static_cast<size_t>(view.channel_axis)];
    const Tensor rows = missing.narrow(0, row, count);
    if (!unit.is_tied) row += count;
    const Tensor shift = at::bmm(rows.reshape({view.groups, count / view.groups, rows.size(1)}), gram.mean().unsqueeze(2)).reshape({-1});
    const LinearView edited = *linear_view(graph, view.node);
    if (const auto place = bias_place(graph, edited)) add_to_bias(graph, edited, *place, shift);
  }
}

}  // namespace

PlacedFactors put_factors(Graph& graph, const Graph& before, RankedUnit& unit, const FactorOption& option, const Statistics* statistics) {
  std::vector<Tensor> factors = unit.factors.factors(option);
  FactorNodes nodes(graph);
  if (unit.table != ValueId::absent) nodes.replace_table(unit.table, unit.gathers, factors);
  else if (unit.is_tied || unit.nodes.size() == 1) nodes.replace_uses(unit.nodes, option.form, factors);
  else nodes.replace_sharers(unit.nodes, factors);
  Tensor missing = unit.factors.layer().rows - unit.factors.product(option, factors);
  if (statistics && has_bias_places(before, unit)) shift_biases(graph, unit, missing, *statistics);
  return {std::move(factors), std::move(missing)};
}

}  // namespace niwaki
