#include "passes/quantize/assign_precision.h"

#include "compress/error.h"
#include "compress/min_cut.h"

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

double to_16(double channels) { return std::ceil(channels / 16) * 16; }

class Candidates {
 public:
  Candidates(const Graph& graph, const SeenSizes& sizes) : graph_(graph), sizes_(sizes) {}

  std::optional<IntegerUnit> unit(NodeId id) const;

 private:
  const std::vector<int64_t>* sizes(ValueId id) const {
    const auto found = sizes_.find(id);
    return found == sizes_.end() ? nullptr : &found->second;
  }
  bool is_float32(ValueId id) const { return graph_.value(id).dtype == DType::float32; }
  std::optional<NodeId> sole_reader(ValueId id) const;
  std::optional<NodeId> activation(ValueId output) const;
  std::optional<Work> linear_work(const LinearView& view) const;
  std::optional<IntegerUnit> linear(NodeId id) const;
  std::optional<IntegerUnit> other(NodeId id) const;

  const Graph& graph_;
  const SeenSizes& sizes_;
};

std::optional<NodeId> Candidates::sole_reader(ValueId id) const {
  const auto readers = graph_.consumers(id);
  if (readers.size() != 1 || graph_.is_output(id)) return std::nullopt;
  return readers[0];
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

std::optional<Work> Candidates::linear_work(const LinearView& view) const {
  const auto* in = sizes(view.input);
  const auto* out = sizes(view.output);
  if (!in || !out) return std::nullopt;
  const auto& weight = graph_.constant(view.weight)->sizes;
  Work work{.out_elements = product(*out)};
  if (view.kind == LinearKind::conv) {
    if (out->size() < 3) return std::nullopt;
    const double taps = product({weight.begin() + 2, weight.end()});
    const double channels_out = static_cast<double>(weight[0]), per_group = static_cast<double>(weight[1]);
    work.positions = work.out_elements / channels_out;
    work.macs = work.positions * channels_out * per_group * taps;
    work.padded_macs = view.groups == 1 ? work.positions * to_16(channels_out) * to_16(per_group) * taps : work.macs;
    work.kernel = taps;
    work.channels = channels_out;
    work.kind = view.groups > 1 && per_group == 1 ? Work::Kind::depthwise : Work::Kind::convolution;
    return work;
  }
  const auto rank = static_cast<int64_t>(weight.size());
  const double features = static_cast<double>(view.kind == LinearKind::gemm ? weight[static_cast<size_t>(1 - view.channel_axis)] : weight[static_cast<size_t>(rank - 2)]);
  work.kind = Work::Kind::gemm;
  work.rows = product(*in) / std::max(features, 1.0);
  work.macs = work.out_elements * features;
  return work;
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
  if (has_third && view->bias == ValueId::absent) return std::nullopt;
  const auto work = linear_work(*view);
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
  Labelling(const Graph& graph, const SeenSizes& sizes, std::vector<IntegerUnit> units, Placement placement, const std::set<NodeId>& refused);
  std::vector<bool> solve() { return cut_.solve(); }

 private:
  void add_value(ValueId value);
  const Graph& graph_;
  const SeenSizes& sizes_;
  std::vector<IntegerUnit> units_;
  std::map<ValueId, int> maker_;             // unit whose output a value is
  std::map<ValueId, std::vector<int>> readers_;
  MinCut cut_;
};

Labelling::Labelling(const Graph& graph, const SeenSizes& sizes, std::vector<IntegerUnit> units, Placement placement, const std::set<NodeId>& refused)
    : graph_(graph), sizes_(sizes), units_(std::move(units)) {
  for (int i = 0; i < static_cast<int>(units_.size()); ++i) {
    const IntegerUnit& unit = units_[static_cast<size_t>(i)];
    const bool may = !refused.contains(unit.node);
    const bool must = placement == Placement::all && may && unit.kind == IntegerUnit::Kind::linear;
    cut_.add(may ? integer_cost_us(unit.work) : kForbidden, must ? kForbidden : float_cost_us(unit.work));
    maker_[unit.output] = i;
    for (const ValueId input : unit.inputs) readers_[input].push_back(i);
  }
  for (const auto& [value, readers] : readers_) add_value(value);
  for (const auto& [value, maker] : maker_) {
    if (!readers_.contains(value)) add_value(value);
  }
}

void Labelling::add_value(ValueId value) {
  const auto found = sizes_.find(value);
  const double elements = found == sizes_.end() ? 1 : product(found->second);
  const double border = border_cost_us(elements, found != sizes_.end() && found->second.size() == 4);
  const auto made = maker_.find(value);
  const int maker = made == maker_.end() ? cut_.add(kForbidden, 0) : made->second;    // a float node, or an input
  const std::vector<int>& readers = readers_[value];
  size_t units_reading = readers.size();
  // paid once for all readers of the other kind: an item that is dragged along by any of them
  const int quantized = cut_.add(0, 0), dequantized = cut_.add(0, 0);
  for (const int reader : readers) {
    cut_.penalize(reader, quantized, kForbidden);
    cut_.penalize(dequantized, reader, kForbidden);
    const IntegerUnit& unit = units_[static_cast<size_t>(reader)];
    // an integer MaxPool behind a float producer runs in the wrong layout, ten times slower
    if (unit.kind == IntegerUnit::Kind::pool) cut_.penalize(reader, maker, kForbidden);
    if (made != maker_.end() && units_[static_cast<size_t>(maker)].kind == IntegerUnit::Kind::pool) cut_.penalize(reader, maker, kForbidden);
  }
  std::set<NodeId> nodes;
  for (const int reader : readers) nodes.insert(units_[static_cast<size_t>(reader)].node);
  bool float_reader = graph_.is_output(value);
  for (const NodeId node : graph_.consumers(value)) float_reader |= !nodes.contains(node);
  (void)units_reading;
  const bool free_output = made != maker_.end() && units_[static_cast<size_t>(maker)].work.kind == Work::Kind::gemm && readers.empty();
  if (float_reader) {
    const int outside = cut_.add(kForbidden, 0);
    cut_.penalize(dequantized, outside, kForbidden);
  }
  cut_.penalize(quantized, maker, border);
  // a Gemm or MatMul kernel gives float by itself where nobody wants codes
  cut_.penalize(maker, dequantized, free_output ? 0 : border);
}

}  // namespace

PrecisionPlan assign_precision(const Graph& graph, const SeenSizes& sizes, Placement placement, const std::set<NodeId>& refused) {
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
