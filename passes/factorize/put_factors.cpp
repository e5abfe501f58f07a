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

/// The same of all heads of a tied table, while its weight is there.
void shift_heads(Graph& graph, const RankedUnit& unit, const Tensor& missing, const Statistics& statistics) {
  for (LinearView view : unit.nodes) {
    view.weight = unit.table;
    view.channel_axis = 0;
    const Tensor shift = missing.narrow(0, 0, graph.constant(unit.table)->sizes[0]).mv(statistics.gram(view.node).mean()[0]);
    if (const auto place = bias_place(graph, view)) add_to_bias(graph, view, *place, shift);
  }
}

}  // namespace

PlacedFactors put_factors(Graph& graph, const Graph& before, RankedUnit& unit, const FactorOption& option, const Statistics* statistics) {
  std::vector<Tensor> factors = unit.factors.factors(option);
  Tensor missing = unit.factors.layer().rows - unit.factors.product(option, factors);
  const bool can_shift = statistics && has_bias_places(before, unit), has_table = unit.table != ValueId::absent;
  FactorNodes nodes(graph);
  if (has_table && can_shift) shift_heads(graph, unit, missing, *statistics);
  if (has_table && unit.nodes.empty()) nodes.replace_table(unit.table, unit.gathers, factors);
  else if (has_table) nodes.replace_tied(unit.table, unit.gathers, unit.nodes, factors);
  else if (unit.is_tied || unit.nodes.size() == 1) nodes.replace_uses(unit.nodes, option.form, factors);
  else nodes.replace_sharers(unit.nodes, factors);
  if (can_shift && !has_table) shift_biases(graph, unit, missing, *statistics);
  return {std::move(factors), std::move(missing)};
}

}  // namespace niwaki
