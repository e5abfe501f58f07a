#include "passes/prune/remove_dead_channels.h"

#include "compress/axes/axis_classes.h"
#include "compress/graph_edit.h"
#include "compress/linear_view.h"
#include "compress/onnx/infer_shapes.h"
#include "passes/prune/constant_channels.h"
#include "passes/prune/slice_classes.h"

#include <algorithm>
#include <map>

namespace niwaki {
namespace {

constexpr int64_t kBlock = 4;                // ONNX Runtime blocks channels whose number is a multiple of it
constexpr int64_t kFew = 8;                  // one channel of so many is few

/// A linear node with a constant weight, which sums over the channels of its input.
struct Contraction {
  LinearView view;
  std::vector<ClassId> columns;              // by channel of the input
  Tensor sums, sizes;                        // of taps [channels, rows they reach]; largest |w| [channels]; double
  std::vector<std::optional<double>> constants;
  double largest = 0;
  bool is_padded = false;
};
using Contractions = std::vector<Contraction>;

/// The weight as [groups, inputs / groups, outputs / groups, taps], or undefined.
Tensor by_columns(const LinearView& view, const Tensor& weight) {
  if (view.kind == LinearKind::conv) return weight.reshape({view.groups, weight.size(0) / view.groups, weight.size(1), -1}).transpose(1, 2);
  if (view.kind == LinearKind::conv_transpose) return weight.reshape({view.groups, weight.size(0) / view.groups, weight.size(1), -1});
  if (weight.dim() != 2) return {};
  return weight.movedim(1 - view.channel_axis, 0).unsqueeze(0).unsqueeze(3);
}

/// The axis of the weight that counts the channels of the input; for groups of a Conv, of one group.
int64_t column_axis(const LinearView& view) {
  if (view.kind == LinearKind::conv) return 1;
  return view.kind == LinearKind::conv_transpose ? 0 : 1 - view.channel_axis;
}

void zero_column(const LinearView& view, Tensor& weight, int64_t column) {
  if (view.kind != LinearKind::conv) {
    weight.select(column_axis(view), column).zero_();
    return;
  }
  const int64_t per_group = weight.size(1), rows = weight.size(0) / view.groups, group = column / per_group;
  weight.narrow(0, group * rows, rows).select(1, column % per_group).zero_();
}

bool is_depthwise(const LinearView& view, const Constant& weight) {
  return view.kind == LinearKind::conv && view.groups > 1 && weight.sizes[1] == 1;
}

std::optional<Contraction> contraction(const Graph& graph, const AxisClasses& classes, const LinearView& view) {
  if (!fixed_constant(graph, view.weight) || !classes.knows(view.input) || element_count(*graph.constant(view.weight)) == 0) return std::nullopt;
  const Node& node = graph.node(view.node);
  if (view.kind == LinearKind::gemm && int_attribute(node, "transA", 0) != 0) return std::nullopt;
  const Tensor columns = by_columns(view, values(*graph.constant(view.weight)).to(at::kDouble));
  if (!columns.defined()) return std::nullopt;
  const size_t rank = classes.num_axes(view.input);
  size_t axis = rank - 1;
  if (view.kind == LinearKind::conv || view.kind == LinearKind::conv_transpose) axis = 1;
  if (view.kind == LinearKind::matmul && view.weight_index == 0) axis = rank - 2;
  const auto ids = classes.axis(view.input, axis);
  const int64_t channels = columns.size(0) * columns.size(1);
  if (static_cast<int64_t>(ids.size()) != channels) return std::nullopt;
  Contraction found{.view = view, .columns = {ids.begin(), ids.end()}};
  const Tensor flat = columns.reshape({channels, columns.size(2), -1});
  found.sums = flat.sum(2);
  found.sizes = flat.abs().amax(2).amax(1).contiguous();
  found.largest = found.sizes.numel() ? found.sizes.max().item<double>() : 0;
  found.constants.resize(ids.size());
  found.is_padded = view.kind == LinearKind::conv && is_padded(node);
  return found;
}

/// What the removal looks at in one round.
class Round {
 public:
  Round(Graph& graph, double tolerance, PassContext& context) : graph_(graph), tolerance_(tolerance), context_(context), classes_(graph) {}
  bool remove_constant();
  bool merge_duplicates();

 private:
  using Wiring = std::map<std::pair<ValueId, uint32_t>, int>;

  void find_contractions();
  void find_constants();
  void block(ValueId value);
  bool can_take(const Contraction& one, size_t column) const;
  std::set<ClassId> without_unaligned(std::set<ClassId> removed) const;
  bool compensate(const Contraction& one, const std::set<ClassId>& removed);
  void add_to_bias(const LinearView& view, const Tensor& more);
  void slice(const std::set<ClassId>& removed);
  std::string signature(ClassId id, const std::vector<Wiring>& wirings) const;
  bool is_column(ValueId constant, uint32_t axis) const { return columns_.contains({constant, axis}); }
  std::vector<Wiring> all_wirings() const;
  void merge(const std::map<ClassId, ClassId>& into);

  Graph& graph_;
  double tolerance_;
  PassContext& context_;
  AxisClasses classes_;
  Contractions contractions_;
  std::set<ClassId> blocked_{ClassId::frozen};
  std::set<std::pair<ValueId, uint32_t>> columns_;   // axes of weights that are summed over
};

void Round::block(ValueId value) {
  for (size_t axis = 0; value != ValueId::absent && axis < classes_.num_axes(value); ++axis) {
    const auto ids = classes_.axis(value, axis);
    blocked_.insert(ids.begin(), ids.end());
  }
}

void Round::find_contractions() {
  static const std::set<std::string> sums = {"Conv", "ConvTranspose", "Einsum", "GRU", "Gemm", "LSTM", "MatMul", "RNN"};
  for (const NodeId id : graph_.main().nodes) {
    const Node& node = graph_.node(id);
    if (!sums.contains(node.op) || !is_default_domain(node.domain)) continue;
    const auto view = linear_view(graph_, id);
    if (view && fixed_constant(graph_, view->weight) && is_depthwise(*view, *graph_.constant(view->weight))) continue;
    auto found = view ? contraction(graph_, classes_, *view) : std::nullopt;
    if (!found) {
      for (const ValueId input : node.inputs) block(input);
      for (const ValueId output : node.outputs) block(output);
      continue;
    }
    columns_.insert({view->weight, static_cast<uint32_t>(column_axis(*view))});
    contractions_.push_back(std::move(*found));
  }
}

void Round::find_constants() {
  const auto channels = constant_channels(graph_, tolerance_);
  for (Contraction& one : contractions_) {
    const auto found = channels.find(one.view.input);
    if (found == channels.end() || found->second.numbers.size() != one.constants.size()) continue;
    if (one.view.weight_index == 0) continue;          // it reads another axis
    const bool is_conv = one.view.kind == LinearKind::conv || one.view.kind == LinearKind::conv_transpose;
    if (found->second.axis == (is_conv ? 1 : classes_.num_axes(one.view.input) - 1)) one.constants = found->second.numbers;
  }
}

/// True if the node computes the same without this channel, after a change of its bias.
bool Round::can_take(const Contraction& one, size_t column) const {
  if (one.sizes.const_data_ptr<double>()[column] <= tolerance_ * one.largest) return true;
  const auto& number = one.constants[column];
  if (!number) return false;
  if (*number == 0) return true;
  const Node& node = graph_.node(one.view.node);
  if (one.is_padded || one.view.kind == LinearKind::conv_transpose) return false;
  if (one.view.kind == LinearKind::matmul) return one.view.weight_index == 1;
  const ValueId bias = input_or_absent(node, 2);
  if (one.view.kind == LinearKind::gemm && bias != ValueId::absent && float_attribute(node, "beta", 1) != 1.0F) return false;
  const Constant* constant = fixed_constant(graph_, bias);
  return bias == ValueId::absent || (constant && constant->sizes.size() == 1 && element_count(*constant) == one.sums.size(1) * one.view.groups);
}

/// Without those channels of a Conv that are few and would leave a number that blocked layouts cannot take: the kernel
/// for the rest is slower than the one for all.
std::set<ClassId> Round::without_unaligned(std::set<ClassId> removed) const {
  for (bool is_done = false; !is_done;) {
    is_done = true;
    for (const Contraction& one : contractions_) {
      const auto all = static_cast<int64_t>(one.columns.size());
      const auto gone = std::count_if(one.columns.begin(), one.columns.end(), [&](ClassId id) { return removed.contains(id); });
      if (one.view.kind != LinearKind::conv || gone == 0 || gone * kFew > all || all % kBlock != 0 || gone % kBlock == 0) continue;
      for (const ClassId id : one.columns) removed.erase(id);
      is_done = false;
    }
  }
  return removed;
}

void Round::add_to_bias(const LinearView& view, const Tensor& more) {
  const DType dtype = graph_.constant(view.weight)->dtype;
  const std::string name = graph_.label(view.node) + ".bias";
  const auto rounded = [&](const Tensor& numbers) { return make_constant(numbers.to(scalar_type(dtype)), dtype); };
  if (view.kind != LinearKind::matmul) {
    const ValueId bias = input_or_absent(graph_.node(view.node), 2);
    const Tensor old = bias == ValueId::absent ? at::zeros_like(more) : values(*graph_.constant(bias)).to(at::kDouble);
    const ValueId made = replace_constant_input(graph_, view.node, 2, rounded(old + more), name);
    context_.report.changes.emplace_back(graph_.value(made).name, "constant channels are added to it");
    return;
  }
  const auto users = graph_.consumers(view.output);
  const Node* add = has_single_use(graph_, view.output) ? &graph_.node(users.front()) : nullptr;
  if (add && add->op == "Add") {
    const size_t side = add->inputs[0] == view.output ? 1 : 0;
    const Constant* bias = fixed_constant(graph_, add->inputs[side]);
    if (bias && element_count(*bias) == more.numel() && bias->sizes.back() == more.numel()) {
      const Tensor sum = values(*bias).to(at::kDouble) + more.reshape(bias->sizes);
      const ValueId made = replace_constant_input(graph_, users.front(), side, rounded(sum), name);
      context_.report.changes.emplace_back(graph_.value(made).name, "constant channels are added to it");
      return;
    }
  }
  const ValueId product = graph_.add_value({.name = graph_.fresh_name(graph_.value(view.output).name + ".product"), .dtype = dtype});
  graph_.set_outputs(view.node, {product});
  graph_.insert_after(view.node, {.name = graph_.label(view.node) + ".add_bias", .op = "Add",
                                  .inputs = {product, new_constant(graph_, name, rounded(more))}, .outputs = {view.output}});
}

/// Moves what the removed constant channels contribute to the bias; their columns become zero.
bool Round::compensate(const Contraction& one, const std::set<ClassId>& removed) {
  const int64_t groups = one.view.groups, rows = one.sums.size(1), per_group = one.sums.size(0) / groups;
  Tensor more = at::zeros({groups, rows}, at::kDouble);
  Tensor weight = values(*graph_.constant(one.view.weight)).clone();
  bool is_needed = false;
  for (size_t column = 0; column < one.columns.size(); ++column) {
    const auto& number = one.constants[column];
    if (!removed.contains(one.columns[column]) || !number || *number == 0) continue;
    if (one.sizes.const_data_ptr<double>()[column] <= tolerance_ * one.largest) continue;
    more[static_cast<int64_t>(column) / per_group] += one.sums[static_cast<int64_t>(column)] * *number;
    zero_column(one.view, weight, static_cast<int64_t>(column));
    is_needed = true;
  }
  if (!is_needed) return false;
  graph_.set_constant(one.view.weight, make_constant(weight, graph_.constant(one.view.weight)->dtype));
  const double alpha = one.view.kind == LinearKind::gemm ? static_cast<double>(float_attribute(graph_.node(one.view.node), "alpha", 1)) : 1;
  add_to_bias(one.view, (more * alpha).reshape({-1}));
  return true;
}

void Round::slice(const std::set<ClassId>& removed) {
  std::vector<ValueId> sliced;
  slice_classes(graph_, classes_, removed, &sliced);
  for (const ValueId id : sliced) context_.report.changes.emplace_back(graph_.value(id).name, "dead channels are removed");
}

bool Round::remove_constant() {
  find_contractions();
  find_constants();
  std::set<ClassId> removed;
  for (const Contraction& one : contractions_) removed.insert(one.columns.begin(), one.columns.end());
  for (const ClassId id : blocked_) removed.erase(id);
  for (const Contraction& one : contractions_) {
    for (size_t column = 0; column < one.columns.size(); ++column) {
      if (!can_take(one, column)) removed.erase(one.columns[column]);
    }
  }
  removed = without_unaligned(without_emptied_axes(graph_, classes_, std::move(removed)));
  if (removed.empty()) return false;
  bool is_compensated = false;
  for (const Contraction& one : contractions_) is_compensated |= compensate(one, removed);
  // new biases are in no class yet: the columns, now zero, go in the next round
  if (is_compensated) infer_shapes(graph_);
  else slice(removed);
  return true;
}

/// Where a class shows: axes of values, how often.
std::vector<Round::Wiring> Round::all_wirings() const {
  std::vector<Wiring> wirings(classes_.num_classes());
  for (uint32_t i = 1; i < classes_.num_values(); ++i) {
    const auto value = static_cast<ValueId>(i);
    for (uint32_t axis = 0; axis < classes_.num_axes(value); ++axis) {
      for (const ClassId id : classes_.axis(value, axis)) {
        if (id != ClassId::frozen) ++wirings[static_cast<uint32_t>(id)][{value, axis}];
      }
    }
  }
  return wirings;
}

/// All that decides the numbers of a class: equal text, equal channels.
std::string Round::signature(ClassId id, const std::vector<Wiring>& wirings) const {
  std::string text;
  for (const auto& [place, count] : wirings[static_cast<uint32_t>(id)]) {
    if (count != 1) return "";               // a channel of several indices has an order of its own
    text += cat(index_of(place.first), ".", place.second, " ");
  }
  for (const AxisIndex& member : classes_.members(id)) {
    if (is_column(member.constant, member.axis)) continue;
    const Tensor row = values(*graph_.constant(member.constant)).select(static_cast<int64_t>(member.axis), member.index).contiguous();
    text.append(static_cast<const char*>(row.const_data_ptr()), row.nbytes());
    text += "|";
  }
  return text;
}

/// Adds the columns of every class to those of the class that replaces it.
void Round::merge(const std::map<ClassId, ClassId>& into) {
  for (const Contraction& one : contractions_) {
    std::map<ClassId, int64_t> place;
    for (size_t column = 0; column < one.columns.size(); ++column) place.emplace(one.columns[column], static_cast<int64_t>(column));
    const Constant& weight = *graph_.constant(one.view.weight);
    const int64_t axis = column_axis(one.view);
    Tensor numbers = values(weight).to(at::kDouble).clone();
    bool is_changed = false;
    for (const auto& [gone, kept] : into) {
      if (!place.contains(gone)) continue;
      numbers.select(axis, place[kept]) += numbers.select(axis, place[gone]);
      is_changed = true;
    }
    if (is_changed) graph_.set_constant(one.view.weight, make_constant(numbers.to(scalar_type(weight.dtype)), weight.dtype));
  }
}

bool Round::merge_duplicates() {
  std::set<ClassId> blocked = blocked_;
  for (const Contraction& one : contractions_) {
    if (one.view.groups == 1 && has_single_use(graph_, one.view.weight)) continue;
    blocked.insert(one.columns.begin(), one.columns.end());
    if (one.view.groups == 1) continue;      // equal rows of two groups read different channels
    const auto outputs = classes_.axis(one.view.output, 1);
    blocked.insert(outputs.begin(), outputs.end());
  }
  const auto wirings = all_wirings();
  std::map<std::string, ClassId> first;
  std::map<ClassId, ClassId> into;
  std::set<ClassId> removed;
  for (uint32_t i = 1; i < classes_.num_classes(); ++i) {
    const auto id = static_cast<ClassId>(i);
    const std::string text = blocked.contains(id) ? "" : signature(id, wirings);
    if (text.empty()) continue;
    const auto [place, is_new] = first.emplace(text, id);
    if (is_new) continue;
    into[id] = place->second;
    removed.insert(id);
  }
  removed = without_unaligned(without_emptied_axes(graph_, classes_, std::move(removed)));
  std::erase_if(into, [&](const auto& pair) { return !removed.contains(pair.first); });
  if (removed.empty()) return false;
  merge(into);
  slice(removed);
  return true;
}

std::map<NodeId, int64_t> row_counts(const Graph& graph) {
  std::map<NodeId, int64_t> counts;
  for (const LinearView& view : linear_views(graph)) counts[view.node] = graph.constant(view.weight)->sizes[static_cast<size_t>(view.channel_axis)];
  return counts;
}

}  // namespace

void remove_dead_channels(Graph& graph, const RemoveDeadChannelsOptions& options, PassContext& context) {
  const auto before = row_counts(graph);
  for (bool is_done = false; !is_done;) {
    context.progress.advance(0);
    Round round(graph, options.dead_tolerance, context);
    is_done = !round.remove_constant() && !(options.merge_duplicates && round.merge_duplicates());
  }
  auto after = row_counts(graph);
  for (const auto& [id, rows] : before) {
    if (after[id] != rows) context.report.change(graph.label(id), {{"outputs_before", rows}, {"outputs_after", after[id]}});
    else context.report.skip(graph.label(id), "every output channel is alive, or one that cannot be removed");
  }
  auto& changes = context.report.changes;
  std::sort(changes.begin(), changes.end());
  changes.erase(std::unique(changes.begin(), changes.end()), changes.end());
}

}  // namespace niwaki
