#include "passes/cleanup/flatten_softmax.h"

#include "compress/graph_edit.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <set>

namespace niwaki {
namespace {

constexpr int64_t kFewestElements = 1024;  // of a sample: below it, the new nodes cost the gain
constexpr int64_t kMostElements = int64_t{1} << 40;  // of a sample: beyond it, no real model
constexpr int64_t kAnyAxis = 13;  // the opset since which Softmax takes one axis, any axis

using Sizes = std::vector<int64_t>;

/// Softmax over axis 1 of `source`, with the Transposes that bring it to the end and back, if any.
struct Match {
  ValueId source, result;
  std::optional<NodeId> there, back;
  Sizes channels;  // C, H, W, ... of the source
};

bool is_softmax(const Node& node) {
  return (node.op == "Softmax" || node.op == "LogSoftmax") && is_default_domain(node.domain);
}

bool is_transpose(const Node& node) {
  return node.op == "Transpose" && is_default_domain(node.domain);
}

bool are_inverse(const Sizes& one, const Sizes& other) {
  if (one.size() != other.size()) return false;
  for (size_t i = 0; i < one.size(); ++i) {
    const auto to = static_cast<size_t>(one[i]);
    if (to >= other.size() || other[to] != static_cast<int64_t>(i)) return false;
  }
  return true;
}

/// The sizes after the first axis, which alone may be unknown.
std::optional<Sizes> sizes_of_sample(const Value& value) {
  if (!value.shape || value.shape->empty()) return std::nullopt;
  Sizes sizes;
  int64_t count = 1;
  for (size_t axis = 1; axis < value.shape->size(); ++axis) {
    const auto* size = std::get_if<int64_t>(&(*value.shape)[axis]);
    if (size == nullptr || *size <= 0 || *size > kMostElements / count) return std::nullopt;
    count *= *size;
    sizes.push_back(*size);
  }
  return sizes;
}

int64_t product(Sizes::const_iterator begin, Sizes::const_iterator end) {
  return std::accumulate(begin, end, int64_t{1}, std::multiplies<>());
}

/// Finds Transpose -> Softmax over the last axis -> Transpose back, where the last axis is axis 1
/// of the source.
std::string match_transposes(const Graph& graph, const std::set<NodeId>& main, const Node& softmax,
                             Match& match) {
  match.there = graph.producer(softmax.inputs[0]);
  if (!match.there || !is_transpose(graph.node(*match.there)))
    return "it normalizes the last axis, which is fast";
  if (!has_single_use(graph, softmax.inputs[0]))
    return "other nodes, or the caller, read its transposed input";
  if (!has_single_use(graph, softmax.outputs[0]))
    return "several nodes, or the caller, read its transposed output";
  match.back = graph.consumers(softmax.outputs[0]).front();
  const Node& back = graph.node(*match.back);
  if (!is_transpose(back) || !main.contains(*match.back))
    return "its output is not transposed back";
  const Sizes order = ints_attribute(graph.node(*match.there), "perm");
  if (order.empty() || order.front() != 0 || order.back() != 1)
    return "its last axis was not axis 1 of images";
  if (!are_inverse(order, ints_attribute(back, "perm"))) return "its output is not transposed back";
  match.source = graph.node(*match.there).inputs[0];
  match.result = back.outputs[0];
  return "";
}

/// The Softmax over channels that this node is a part of, or why it stays as it is.
std::string find_match(const Graph& graph, const std::set<NodeId>& main, const Node& softmax,
                       Match& match) {
  match.source = softmax.inputs[0];
  match.result = softmax.outputs[0];
  const auto shape = graph.value(match.source).shape;
  if (!shape) return "its shape is not known";
  const auto rank = static_cast<int64_t>(shape->size());  // of source and result alike
  if (rank < 4) return "it has less than four axes";
  int64_t axis = int_attribute(softmax, "axis", graph.opset() < kAnyAxis ? 1 : -1);
  if (axis < 0) axis += rank;
  if (axis == rank - 1) {
    if (std::string reason = match_transposes(graph, main, softmax, match); !reason.empty())
      return reason;
  } else if (graph.opset() < kAnyAxis) {
    return "before opset 13, it normalizes over all axes from its axis on";
  } else if (axis != 1) {
    return "it normalizes an axis other than that of channels";
  }
  const auto sizes = sizes_of_sample(graph.value(match.source));
  if (!sizes || sizes->size() + 1 != shape->size()) return "its sizes are not known";
  match.channels = *sizes;
  if (std::count_if(sizes->begin() + 1, sizes->end(), [](int64_t size) { return size > 1; }) < 2)
    return "it has one axis beside the channels";
  if (product(sizes->begin(), sizes->end()) < kFewestElements) return "it is too small to gain";
  return "";
}

/// Writes the new nodes in place of a Softmax: each reads what the one before it made.
class Rewriter {
 public:
  Rewriter(Graph& graph, NodeId softmax)
      : graph_(graph), softmax_(softmax), label_(graph.label(softmax)) {}
  void rewrite(const Match& match);

 private:
  void append(Node node) {
    node.inputs.insert(node.inputs.begin(), last_);
    last_ = graph_.add_value({.name = graph_.fresh_name(label_ + ".flat")});
    node.outputs = {last_};
    last_node_ = graph_.insert_before(softmax_, std::move(node));
  }
  void append_reshape(const std::string& role, const Sizes& sizes) {
    const std::string& name = graph_.node(softmax_).name;
    const ValueId shape =
        new_constant(graph_, label_ + ".shape", make_constant(at::tensor(sizes, at::kLong)));
    append({.name = name.empty() ? "" : name + role, .op = "Reshape", .inputs = {shape}});
  }
  void append_transpose(NodeId old) {
    append({.name = graph_.node(old).name,
            .op = "Transpose",
            .attributes = {{"perm", Sizes{0, 2, 1}}}});
  }
  void append_softmax(int64_t axis) {
    Node node = graph_.node(softmax_);
    node.inputs.clear();
    node.attributes["axis"] = axis;
    append(std::move(node));
  }

  Graph& graph_;
  NodeId softmax_;
  std::string label_;
  ValueId last_ = ValueId::absent;
  NodeId last_node_{};
};

void Rewriter::rewrite(const Match& match) {
  Sizes whole = match.channels;
  whole.insert(whole.begin(), 0);  // 0: as in the input
  last_ = match.source;
  append_reshape(".flatten", {0, whole[1], product(whole.begin() + 2, whole.end())});
  const bool is_last = graph_.opset() < kAnyAxis;
  if (is_last) append_transpose(*match.there);
  append_softmax(is_last ? 2 : 1);
  if (is_last) append_transpose(*match.back);
  append_reshape(".restore", whole);
  if (match.back) graph_.remove(*match.back);
  graph_.remove(softmax_);
  if (match.there) graph_.remove(*match.there);
  graph_.set_outputs(last_node_, {match.result});
}

}  // namespace

void flatten_softmax(Graph& graph, const FlattenSoftmaxOptions& options, PassContext& context) {
  const std::vector<NodeId> nodes = graph.main().nodes;
  const std::set<NodeId> main(nodes.begin(), nodes.end());
  for (const NodeId id : nodes) {
    if (!graph.exists(id) || !is_softmax(graph.node(id))) continue;
    const std::string label = graph.label(id);
    Match match{};
    if (const std::string reason = find_match(graph, main, graph.node(id), match);
        !reason.empty()) {
      context.report.skip(label, reason);
      continue;
    }
    Rewriter(graph, id).rewrite(match);
    context.report.change(label);
  }
}

}  // namespace niwaki
