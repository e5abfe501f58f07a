#include "passes/prune/channel_costs.h"

#include "compress/graph_edit.h"
#include "compress/node_work.h"

namespace niwaki {
namespace {

class Terms {
 public:
  Terms(const Graph& graph, const AxisClasses& classes, const std::vector<ChannelFamily>& families) : graph_(graph), classes_(classes) {
    for (size_t i = 0; i < families.size(); ++i) {
      for (const auto& block : families[i].blocks) {
        for (const ClassId id : block) family_of_[id] = {i, static_cast<double>(block.size())};
      }
    }
  }

  void add_axis(CostTerm& term, ValueId value, size_t axis) const {
    const auto ids = classes_.axis(value, axis);
    CostTerm::Axis found{.length = static_cast<double>(ids.size())};
    for (const ClassId id : ids) {
      const auto place = family_of_.find(id);
      // all classes of a block show equally often: one unit takes its share of their indices
      if (place != family_of_.end()) found.per_unit[place->second.first] += 1.0 / place->second.second;
    }
    if (!found.per_unit.empty()) term.axes.push_back(std::move(found));
  }

  CostTerm with_axes(double base, ValueId value) const {
    CostTerm term{.base = base};
    for (size_t axis = 0; axis < classes_.num_axes(value); ++axis) add_axis(term, value, axis);
    return term;
  }

  const Graph& graph_;
  const AxisClasses& classes_;
  std::map<ClassId, std::pair<size_t, double>> family_of_;
};

constexpr double kBlock = 16;                // channels that a convolution kernel computes at once (AVX-512; 8 elsewhere)

double elements(const Graph& graph, ValueId id) { return static_cast<double>(element_count(*graph.constant(id))); }

}  // namespace

std::vector<CostTerm> mac_terms(const Graph& graph, const AxisClasses& classes, const std::vector<ChannelFamily>& families, const KnownSizes& sizes) {
  const Terms terms(graph, classes, families);
  std::vector<CostTerm> all;
  for (const NodeId id : graph.main().nodes) {
    const Node& node = graph.node(id);
    const double macs = node_macs(graph, id, sizes).value_or(0);
    if (macs <= 0) continue;
    if (is_recurrent(node) && graph.constant(node.inputs[1]) && graph.constant(node.inputs[2])) {
      const double both = elements(graph, node.inputs[1]) + elements(graph, node.inputs[2]);
      for (const size_t index : {size_t{1}, size_t{2}}) all.push_back(terms.with_axes(macs * elements(graph, node.inputs[index]) / both, node.inputs[index]));
      continue;
    }
    if (!classes.knows(node.inputs[0])) continue;
    CostTerm term{.base = macs};
    const bool is_conv = node.op == "Conv", is_transpose = node.op == "ConvTranspose";
    for (size_t axis = 0; axis < classes.num_axes(node.outputs[0]); ++axis) terms.add_axis(term, node.outputs[0], axis);
    const int64_t groups = int_attribute(node, "group", 1);
    const bool is_depthwise = is_conv && groups > 1 && classes.axis(node.inputs[1], 1).size() == 1;
    const size_t rank = classes.num_axes(node.inputs[0]);
    const bool is_turned = node.op == "Gemm" && int_attribute(node, "transA", 0) != 0;
    if (!is_depthwise && !(is_transpose && groups > 1)) terms.add_axis(term, node.inputs[0], is_conv || is_transpose ? 1 : is_turned ? 0 : rank - 1);
    all.push_back(std::move(term));
  }
  return all;
}

std::vector<CostTerm> weight_terms(const Graph& graph, const AxisClasses& classes, const std::vector<ChannelFamily>& families) {
  const Terms terms(graph, classes, families);
  std::vector<CostTerm> all;
  std::set<ValueId> seen;
  for (const NodeId id : graph.main().nodes) {
    const Node& node = graph.node(id);
    const bool has_weight = is_recurrent(node) || linear_view(graph, id);
    for (const ValueId input : node.inputs) {
      if (!has_weight || input == ValueId::absent || !graph.constant(input) || !seen.insert(input).second) continue;
      all.push_back(terms.with_axes(elements(graph, input), input));
      // the columns of a grouped weight are in no class: each group has those of its own inputs
      const bool is_grouped = node.op == "Conv" && int_attribute(node, "group", 1) > 1 && graph.constant(node.inputs[1])->sizes[1] > 1;
      if (is_grouped && input == node.inputs[1]) terms.add_axis(all.back(), node.inputs[0], 1);
    }
  }
  return all;
}

std::vector<CostTerm> time_terms(const Graph& graph, const AxisClasses& classes, const std::vector<ChannelFamily>& families, const KnownSizes& sizes) {
  const Terms terms(graph, classes, families);
  std::vector<CostTerm> all;
  for (const LinearView& view : linear_views(graph)) {
    const auto work = linear_work(graph, view, sizes);
    if (!work || !classes.knows(view.input)) continue;
    const bool is_conv = view.kind == LinearKind::conv;
    if (is_conv) all.push_back({.base = float_cost_us({.kind = work->kind, .kernel = 0})});
    CostTerm term{.base = float_cost_us(*work) - (is_conv ? all.back().base : 0)};
    const size_t rank = classes.num_axes(view.input);
    if (is_conv) {
      terms.add_axis(term, view.output, 1);
      if (work->kind != Work::Kind::depthwise) terms.add_axis(term, view.input, 1);
      for (CostTerm::Axis& axis : term.axes) axis.block = axis.length < kBlock ? 1 : kBlock;
    } else {
      for (size_t axis = 0; axis < classes.num_axes(view.output); ++axis) terms.add_axis(term, view.output, axis);
      const bool is_turned = view.kind == LinearKind::gemm && int_attribute(graph.node(view.node), "transA", 0) != 0;
      terms.add_axis(term, view.input, is_turned ? 0 : rank - 1);
    }
    all.push_back(std::move(term));
  }
  return all;
}

}  // namespace niwaki
