#include "passes/cleanup/simplify_shuffles.h"

#include "compress/graph_edit.h"
#include "compress/ops/op_table.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>

namespace niwaki {
namespace {

constexpr std::array kMovers = {"Flatten", "Gather",  "Identity",  "Reshape",  "Slice",
                                "Split",   "Squeeze", "Transpose", "Unsqueeze"};
constexpr size_t kLongestChain = 64;        // nodes: beyond it, it is no shuffle
constexpr int64_t kMostElements = 1 << 23;  // of a sample that a chain is followed on

using Picks = std::vector<int64_t>;  // channel of x for each channel of a result

/// True if the node only moves elements of its first input, in a way that constants alone decide.
bool is_mover(const Graph& graph, const Node& node) {
  if (!is_default_domain(node.domain) ||
      std::find(kMovers.begin(), kMovers.end(), node.op) == kMovers.end())
    return false;
  for (size_t i = 1; i < node.inputs.size(); ++i) {
    if (node.inputs[i] != ValueId::absent && !fixed_constant(graph, node.inputs[i])) return false;
  }
  return graph.constant(node.inputs[0]) == nullptr;
}

/// [n, C, ...] for each batch size n that the proof must hold for; empty where other sizes are
/// unknown.
std::vector<std::vector<int64_t>> sizes_to_prove(const Value& value) {
  if (!value.shape || value.shape->size() < 3) return {};
  std::vector<int64_t> sizes;
  int64_t count = 1;
  for (size_t axis = 0; axis < value.shape->size(); ++axis) {
    const auto* size = std::get_if<int64_t>(&(*value.shape)[axis]);
    if (axis > 0 && size == nullptr) return {};
    sizes.push_back(size ? *size : 1);
    if (sizes.back() <= 0 || sizes.back() > kMostElements / count) return {};
    count *= sizes.back();
  }
  if (std::holds_alternative<int64_t>(value.shape->front())) return {sizes};
  std::vector<int64_t> twice = sizes;
  twice[0] = 2;
  return {sizes, twice};
}

/// The channels of `source` that `moved` consists of, if it is a selection along axis 1.
std::optional<Picks> selection(const Tensor& source, const Tensor& moved) {
  if (moved.dim() != source.dim() || moved.numel() == 0) return std::nullopt;
  const int64_t per_channel = source[0][0].numel();
  const Tensor picks =
      at::floor_divide(moved[0].reshape({moved.size(1), -1}).select(1, 0), per_channel)
          .contiguous();
  if ((picks >= source.size(1)).any().item<bool>()) return std::nullopt;  // of a later sample
  if (!at::equal(source.index_select(1, picks), moved)) return std::nullopt;
  return Picks(picks.const_data_ptr<int64_t>(), picks.const_data_ptr<int64_t>() + picks.numel());
}

/// What one chain does to its input, as far as one batch size tells.
struct Chain {
  std::vector<NodeId> nodes;  // in order of a walk from the first
  std::vector<std::pair<ValueId, Picks>> results;
  bool transposes = false;
};

/// Follows a chain on the positions of its input, as far as every branch is a selection of
/// channels.
class Walk {
 public:
  Walk(const Graph& graph, const std::set<NodeId>& main, std::vector<int64_t> sizes)
      : graph_(graph), main_(main) {
    int64_t count = 1;
    for (const int64_t size : sizes) count *= size;
    source_ = at::arange(count, at::kLong).reshape(sizes);
  }
  /// The chain that begins with this node, or why there is none.
  std::string follow(NodeId first, Chain& chain) const { return visit(first, source_, chain); }

 private:
  std::string visit(NodeId id, const Tensor& positions, Chain& chain) const;
  std::string visit_output(ValueId output, const Tensor& positions, Chain& chain) const;

  const Graph& graph_;
  const std::set<NodeId>& main_;
  Tensor source_;  // [n, C, ...], each element its own position
};

std::string Walk::visit(NodeId id, const Tensor& positions, Chain& chain) const {
  const Node& node = graph_.node(id);
  if (chain.nodes.size() == kLongestChain) return "the chain is longer than 64 nodes";
  chain.nodes.push_back(id);
  chain.transposes = chain.transposes || node.op == "Transpose";
  RunValues inputs{RunValue(positions)};
  for (size_t i = 1; i < node.inputs.size(); ++i) {
    inputs.push_back(node.inputs[i] == ValueId::absent
                         ? RunValue()
                         : RunValue(values(*graph_.constant(node.inputs[i]))));
  }
  RunValues moved;
  try {
    moved = find_op(
        "", node.op)({.node = node, .opset = graph_.opset(), .inputs = inputs, .run_body = {}});
  } catch (const std::exception&) {
    return cat("it cannot be followed through ", graph_.label(id));
  }
  for (size_t i = 0; i < node.outputs.size(); ++i) {
    if (node.outputs[i] == ValueId::absent) continue;
    if (const std::string reason = visit_output(node.outputs[i], moved.at(i).tensor, chain);
        !reason.empty())
      return reason;
  }
  return "";
}

std::string Walk::visit_output(ValueId output, const Tensor& positions, Chain& chain) const {
  const auto consumers = graph_.consumers(output);
  const bool ends =
      graph_.is_output(output) || !std::all_of(consumers.begin(), consumers.end(), [&](NodeId id) {
        return main_.contains(id) && is_mover(graph_, graph_.node(id));
      });
  std::string reason = "its results are no selection of channels";
  if (!ends) {
    const Chain before = chain;
    reason.clear();
    for (size_t i = 0; i < consumers.size() && reason.empty(); ++i)
      reason = visit(consumers[i], positions, chain);
    if (reason.empty()) return "";  // what follows is part of the chain
    chain = before;
  }
  const auto picks = chain.transposes ? selection(source_, positions) : std::nullopt;
  if (!picks) return reason;
  chain.results.emplace_back(output, *picks);
  return "";
}

bool moves_nothing(const Picks& picks, int64_t channels) {
  if (static_cast<int64_t>(picks.size()) != channels) return false;
  for (size_t i = 0; i < picks.size(); ++i) {
    if (picks[i] != static_cast<int64_t>(i)) return false;
  }
  return true;
}

/// The chain that begins with this Reshape, proven for every batch size, or why it is none.
std::string find_chain(const Graph& graph, const std::set<NodeId>& main, NodeId first,
                       Chain& chain) {
  const Node& node = graph.node(first);
  if (!is_mover(graph, node)) return "its shape is computed at run time";
  const auto all_sizes = sizes_to_prove(graph.value(node.inputs[0]));
  if (all_sizes.empty()) return "the sizes of its input are not known, or too large";
  for (size_t i = 0; i < all_sizes.size(); ++i) {
    Chain found;
    const std::string reason = Walk(graph, main, all_sizes[i]).follow(first, found);
    if (!reason.empty()) return reason;
    if (!found.transposes || found.results.empty()) return "it shuffles nothing";
    if (i > 0 && found.results != chain.results) return "what it does depends on the batch size";
    chain = std::move(found);
  }
  const auto is_idle = [&](const auto& result) {
    return moves_nothing(result.second, all_sizes[0][1]);
  };
  return std::any_of(chain.results.begin(), chain.results.end(), is_idle) ? "it moves nothing" : "";
}

/// Replaces chains; equal picks share one constant.
class Rewriter {
 public:
  explicit Rewriter(Graph& graph) : graph_(graph) {}
  void replace(const Chain& chain);

 private:
  ValueId indices(const Picks& picks);

  Graph& graph_;
  std::map<Picks, ValueId> indices_;
};

ValueId Rewriter::indices(const Picks& picks) {
  const auto [found, is_new] = indices_.try_emplace(picks, ValueId::absent);
  if (is_new)
    found->second =
        new_constant(graph_, "picks", make_constant(at::tensor(picks, at::kLong).to(at::kInt)));
  return found->second;
}

void Rewriter::replace(const Chain& chain) {
  const ValueId source = graph_.node(chain.nodes.front()).inputs[0];
  std::vector<NodeId> gathers;
  for (const auto& [output, picks] : chain.results) {
    const Node& maker = graph_.node(*graph_.producer(output));
    const bool is_part = maker.outputs.size() > 1 && !maker.name.empty();
    const std::string name = is_part ? cat(maker.name, ".", gathers.size()) : maker.name;
    gathers.push_back(
        graph_.insert_before(chain.nodes.front(), {.name = name,
                                                   .op = "Gather",
                                                   .inputs = {source, indices(picks)},
                                                   .attributes = {{"axis", int64_t{1}}}}));
  }
  for (auto id = chain.nodes.rbegin(); id != chain.nodes.rend(); ++id)
    remove_with_constants(graph_, *id);
  for (size_t i = 0; i < gathers.size(); ++i)
    graph_.set_outputs(gathers[i], {chain.results[i].first});
}

}  // namespace

void simplify_shuffles(Graph& graph, const SimplifyShufflesOptions& options, PassContext& context) {
  const std::vector<NodeId> nodes = graph.main().nodes;
  const std::set<NodeId> main(nodes.begin(), nodes.end());
  Rewriter rewriter(graph);
  for (const NodeId id : nodes) {
    if (!graph.exists(id) || graph.node(id).op != "Reshape" ||
        !is_default_domain(graph.node(id).domain))
      continue;
    const std::string label = graph.label(id);
    Chain chain;
    if (const std::string reason = find_chain(graph, main, id, chain); !reason.empty()) {
      context.report.skip(label, reason);
      continue;
    }
    context.report.change(label, {{"gathers", chain.results.size()}});
    rewriter.replace(chain);
  }
}

}  // namespace niwaki
