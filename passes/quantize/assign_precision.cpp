#include "passes/quantize/assign_precision.h"

#include "compress/error.h"
#include "compress/min_cut.h"
#include "compress/node_work.h"

#include <cmath>
#include <limits>

namespace niwaki {
namespace {

constexpr double kForbidden = std::numeric_limits<double>::infinity();

double product(const std::vector<int64_t>& sizes) {
  double count = 1;
  for (const int64_t size : sizes) count *= static_cast<double>(size);
  return count;
}

class Candidates {
 public:
  Candidates(const Graph& graph, const KnownSizes& sizes) : graph_(graph), sizes_(sizes) {}

  std::optional<IntegerUnit> unit(NodeId id) const;

 private:
  const std::vector<int64_t>* sizes(ValueId id) const {
    const auto found = sizes_.find(id);
    return found == sizes_.end() ? nullptr : &found->second;
  }
  bool is_float32(ValueId id) const { return graph_.value(id).dtype == DType::float32; }
  std::optional<NodeId> sole_reader(ValueId id) const;
  bool is_per_output(const LinearView& view) const;
  std::optional<NodeId> activation(ValueId output) const;
  std::optional<IntegerUnit> linear(NodeId id) const;
  std::optional<IntegerUnit> other(NodeId id) const;

  const Graph& graph_;
  const KnownSizes& sizes_;
};

std::optional<NodeId> Candidates::sole_reader(ValueId id) const {
  const auto readers = graph_.consumers(id);
  if (readers.size() != 1 || graph_.is_output(id)) return std::nullopt;
  return readers[0];
}

/// A bias is one number, or one per output: a Gemm takes a matrix, too, which no kernel adds to its sums.
bool Candidates::is_per_output(const LinearView& view) const {
  const auto& sizes = graph_.constant(view.bias)->sizes;
  const int64_t count = element_count(*graph_.constant(view.bias)), out = graph_.constant(view.weight)->sizes[static_cast<size_t>(view.channel_axis)];
  return count == 1 || (count == out && sizes.back() == out);
}

/// The Relu, or Clip from 0, that alone reads a value.
std::optional<NodeId> Candidates::activation(ValueId output) const {
  const auto reader = sole_reader(output);
  if (!reader) return std::nullopt;
  const Node& node = graph_.node(*reader);
  if (!is_default_domain(node.domain)) return std::nullopt;
  if (node.op == "Relu") return reader;
  if (node.op != "Clip") return std::nullopt;
  if (has_attribute(node, "min")) return float_attribute(node, "min", -1) == 0 ? reader : std::nullopt;
  const Constant* least = node.inputs.size() > 1 && node.inputs[1] != ValueId::absent ? graph_.constant(node.inputs[1]) : nullptr;
  const bool most_is_fixed = node.inputs.size() < 3 || node.inputs[2] == ValueId::absent || graph_.constant(node.inputs[2]);
  return least && most_is_fixed && values(*least).to(at::kDouble).item<double>() == 0 ? reader : std::nullopt;
}

std::optional<IntegerUnit> Candidates::linear(NodeId id) const {
  const auto view = linear_view(graph_, id);
  if (!view || view->kind == LinearKind::conv_transpose || !is_float32(view->input)) return std::nullopt;
  if (graph_.constant(view->weight)->dtype != DType::float32 || graph_.constant(view->input)) return std::nullopt;
  const Node& node = graph_.node(id);
  if (view->kind == LinearKind::matmul && (view->weight_index != 1 || graph_.constant(view->weight)->sizes.size() != 2)) return std::nullopt;
  if (view->kind == LinearKind::gemm &&
      (float_attribute(node, "alpha", 1) != 1 || float_attribute(node, "beta", 1) != 1 || int_attribute(node, "transA", 0) != 0)) {
    return std::nullopt;
  }
  const bool has_third = node.inputs.size() > 2 && node.inputs[2] != ValueId::absent;
  if (has_third && (view->bias == ValueId::absent || !is_per_output(*view))) return std::nullopt;
  const auto work = linear_work(graph_, *view, sizes_);
  if (!work) return std::nullopt;
  IntegerUnit unit{.kind = IntegerUnit::Kind::linear, .node = id, .output = view->output, .inputs = {view->input}, .work = *work};
  unit.activation = activation(view->output);
  if (unit.activation) unit.output = graph_.node(*unit.activation).outputs[0];
  return unit;
}

std::optional<IntegerUnit> Candidates::other(NodeId id) const {
  const Node& node = graph_.node(id);
  if (!is_default_domain(node.domain) || node.outputs.empty() || !is_float32(node.outputs[0])) return std::nullopt;
  const auto* out = sizes(node.outputs[0]);
  if (!out || node.inputs.empty() || node.inputs[0] == ValueId::absent || graph_.constant(node.inputs[0])) return std::nullopt;
  IntegerUnit unit{.node = id, .output = node.outputs[0], .inputs = {node.inputs[0]}};
  unit.work.out_elements = product(*out);
  if (node.op == "Add") {
    if (graph_.constant(node.inputs[1]) || node.inputs[0] == node.inputs[1]) return std::nullopt;
    unit.kind = IntegerUnit::Kind::add;
    unit.work.kind = Work::Kind::add;
    unit.inputs = node.inputs;
    unit.activation = activation(node.outputs[0]);
    if (unit.activation) unit.output = graph_.node(*unit.activation).outputs[0];
    unit.work.has_activation = unit.activation.has_value();
    for (const ValueId input : node.inputs) {
      const auto maker = graph_.producer(input);
      unit.work.is_fused |= maker && graph_.node(*maker).op == "Conv" && graph_.consumers(input).size() == 1;
    }
    return unit;
  }
  if ((node.op == "AveragePool" || node.op == "GlobalAveragePool") && int_attribute(node, "count_include_pad", 0) == 0) {
    const auto* in = sizes(node.inputs[0]);
    if (!in || in->size() != 4) return std::nullopt;
    double taps = unit.work.out_elements;
    for (const int64_t size : ints_attribute(node, "kernel_shape")) taps *= static_cast<double>(size);
    unit.kind = IntegerUnit::Kind::average_pool;
    unit.work.kind = Work::Kind::average_pool;
    unit.work.taps = node.op == "GlobalAveragePool" ? product(*in) : taps;
    return unit;
  }
  if (node.op == "Concat") {
    for (const ValueId input : node.inputs) {
      if (graph_.constant(input)) return std::nullopt;
    }
    unit.kind = IntegerUnit::Kind::concat;
    unit.work.kind = Work::Kind::concat;
    unit.inputs = node.inputs;
    return unit;
  }
  if (node.op == "MaxPool" && node.outputs.size() == 1) {
    double taps = unit.work.out_elements;
    for (const int64_t size : ints_attribute(node, "kernel_shape")) taps *= static_cast<double>(size);
    unit.kind = IntegerUnit::Kind::pool;
    unit.work.kind = Work::Kind::max_pool;
    unit.work.taps = taps;
    return unit;
  }
  static const std::set<std::string> kMoves = {"DepthToSpace", "Flatten", "Gather", "Identity", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"};
  if (!kMoves.contains(node.op)) return std::nullopt;
  const bool is_free = node.op == "Reshape" || node.op == "Flatten" || node.op == "Squeeze" || node.op == "Unsqueeze" || node.op == "Identity";
  if (is_free) unit.work.out_elements = 0;
  return unit;
}

std::optional<IntegerUnit> Candidates::unit(NodeId id) const {
  auto found = linear(id);
  return found ? found : other(id);
}

/// The labelling problem over units, and over values that cross between them.
class Labelling {
 public:
  Labelling(const Graph& graph, const KnownSizes& sizes, const std::vector<IntegerUnit>& units, Placement placement, const std::set<NodeId>& refused);
  std::vector<bool> solve();

 private:
  void add_value(ValueId value, const std::vector<int>& readers);
  void add_layout_costs(int maker, int reader, double elements);
  double border_us(ValueId value, bool is_input) const;
  bool is_float_between_codes(size_t unit, const std::vector<bool>& labels) const;

  const Graph& graph_;
  const KnownSizes& sizes_;
  const std::vector<IntegerUnit>& units_;
  const std::set<NodeId>& refused_;
  std::map<ValueId, int> maker_;             // unit whose output a value is
  std::map<ValueId, std::vector<int>> readers_;
  double num_adds_ = 0;
  MinCut cut_;
};

Labelling::Labelling(const Graph& graph, const KnownSizes& sizes, const std::vector<IntegerUnit>& units, Placement placement, const std::set<NodeId>& refused)
    : graph_(graph), sizes_(sizes), units_(units), refused_(refused) {
  for (int i = 0; i < static_cast<int>(units_.size()); ++i) {
    const IntegerUnit& unit = units_[static_cast<size_t>(i)];
    const bool may = !refused.contains(unit.node);
    const bool must = placement == Placement::all && may && unit.kind == IntegerUnit::Kind::linear;
    cut_.add(may ? integer_cost_us(unit.work) : kForbidden, must ? kForbidden : float_cost_us(unit.work));
    num_adds_ += unit.kind == IntegerUnit::Kind::add;
    maker_[unit.output] = i;
    for (const ValueId input : unit.inputs) readers_[input].push_back(i);
  }
  for (const auto& [value, readers] : readers_) add_value(value, readers);
  for (const auto& [value, maker] : maker_) {
    if (!readers_.contains(value)) add_value(value, {});
  }
}

double Labelling::border_us(ValueId value, bool is_input) const {
  const auto found = sizes_.find(value);
  if (found == sizes_.end()) return border_cost_us(1, false);
  const bool is_image = found->second.size() == 4;
  if (is_input) return input_border_cost_us(product(found->second), is_image, is_image ? found->second[1] : 1);
  return border_cost_us(product(found->second), is_image);
}

void Labelling::add_layout_costs(int maker, int reader, double elements) {
  const IntegerUnit& made = units_[static_cast<size_t>(maker)];
  const IntegerUnit& read = units_[static_cast<size_t>(reader)];
  if (read.kind == IntegerUnit::Kind::pool) cut_.penalize(reader, maker, misplaced_pool_cost_us(read.work.taps));
  if (made.kind == IntegerUnit::Kind::pool) cut_.penalize(reader, maker, misplaced_pool_cost_us(made.work.taps));
  // one float skip connection leaves the whole residual chain unblocked
  const bool is_skip = read.kind == IntegerUnit::Kind::add && (made.kind == IntegerUnit::Kind::linear || made.kind == IntegerUnit::Kind::add);
  if (is_skip) cut_.penalize(reader, maker, num_adds_ * broken_chain_cost_us(elements));
}

void Labelling::add_value(ValueId value, const std::vector<int>& readers) {
  const auto made = maker_.find(value);
  const bool has_unit = made != maker_.end();
  const int maker = has_unit ? made->second : cut_.add(kForbidden, 0);      // a float node, or an input
  const auto found = sizes_.find(value);
  const double border = border_us(value, !graph_.producer(value).has_value());
  // paid once for all readers of the other kind: an item that is dragged along by any of them
  const int quantized = cut_.add(0, 0), dequantized = cut_.add(0, 0);
  std::set<NodeId> nodes;
  for (const int reader : readers) {
    cut_.penalize(reader, quantized, kForbidden);
    cut_.penalize(dequantized, reader, kForbidden);
    if (has_unit) add_layout_costs(maker, reader, found == sizes_.end() ? 1 : product(found->second));
    nodes.insert(units_[static_cast<size_t>(reader)].node);
  }
  bool has_float_reader = graph_.is_output(value);
  for (const NodeId node : graph_.consumers(value)) has_float_reader |= !nodes.contains(node);
  if (has_float_reader) cut_.penalize(dequantized, cut_.add(kForbidden, 0), kForbidden);
  // a Gemm or MatMul kernel gives float by itself where nobody wants codes
  const bool gives_float = has_unit && readers.empty() && units_[static_cast<size_t>(maker)].gives_float();
  cut_.penalize(quantized, maker, border);
  cut_.penalize(maker, dequantized, gives_float ? 0 : border);
}

/// The runtime would fuse such a node into an integer kernel of its own, with one scale for the whole weight.
bool Labelling::is_float_between_codes(size_t index, const std::vector<bool>& labels) const {
  const IntegerUnit& unit = units_[index];
  const bool fuses = unit.kind == IntegerUnit::Kind::linear || unit.kind == IntegerUnit::Kind::average_pool;
  if (labels[index] || !fuses || refused_.contains(unit.node) || graph_.is_output(unit.output)) return false;
  const auto maker = maker_.find(unit.inputs[0]);
  if (maker == maker_.end() || !labels[static_cast<size_t>(maker->second)]) return false;
  const auto readers = readers_.find(unit.output);
  if (readers == readers_.end() || readers->second.size() != graph_.consumers(unit.output).size()) return false;
  return std::all_of(readers->second.begin(), readers->second.end(), [&](int reader) { return labels[static_cast<size_t>(reader)]; });
}

std::vector<bool> Labelling::solve() {
  std::vector<bool> labels = cut_.solve();
  labels.resize(units_.size());
  for (bool has_changed = true; has_changed;) {
    has_changed = false;
    for (size_t i = 0; i < units_.size(); ++i) {
      if (!is_float_between_codes(i, labels)) continue;
      labels[i] = has_changed = true;
    }
  }
  return labels;
}

}  // namespace

PrecisionPlan assign_precision(const Graph& graph, const KnownSizes& sizes, Placement placement, const std::set<NodeId>& refused) {
  const Candidates candidates(graph, sizes);
  std::vector<IntegerUnit> units;
  for (const NodeId id : graph.main().nodes) {
    if (auto unit = candidates.unit(id)) units.push_back(std::move(*unit));
  }
  const std::vector<bool> labels = Labelling(graph, sizes, units, placement, refused).solve();
  PrecisionPlan plan;
  for (size_t i = 0; i < units.size(); ++i) {
    const double as_float = float_cost_us(units[i].work), as_integer = integer_cost_us(units[i].work);
    plan.float_us += as_float;
    plan.planned_us += labels[i] ? as_integer : as_float;
    if (!labels[i]) {
      plan.kept[units[i].node] = refused.contains(units[i].node)
                                     ? "kept in float as asked"
                                     : cat("an integer kernel does not pay here: ", std::round(as_float * 10) / 10, " us in float by the target's table");
      continue;
    }
    plan.integer.insert(units[i].node);
    plan.units.push_back(units[i]);
  }
  return plan;
}

}  // namespace niwaki
