#include "passes/cleanup/fold_constants.h"

#include "compress/executor.h"
#include "compress/graph_edit.h"

#include <algorithm>
#include <array>
#include <set>

namespace niwaki {
namespace {

constexpr int64_t kLargestGrowth = 1024;     // bytes, of one result over its inputs
constexpr int64_t kGrowthOfAll = 3072;       // bytes, of the whole file: preparation must stay below 4 KiB
constexpr int64_t kNodeBytes = 16;           // least size of a node in the file
constexpr std::array kRandom = {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"};
constexpr std::array kMakers = {"CenterCropPad", "ConstantOfShape", "Expand", "EyeLike", "OneHot", "Pad", "Range", "Resize", "Tile", "Upsample"};

template <typename List>
bool is_one_of(const List& list, const std::string& op) { return std::find(list.begin(), list.end(), op) != list.end(); }

bool has_constant_inputs(const Graph& graph, const Node& node) {
  return std::all_of(node.inputs.begin(), node.inputs.end(),
                     [&](ValueId id) { return id == ValueId::absent || graph.constant(id) != nullptr; });
}

bool reads_static_shape(const Graph& graph, const Node& node) {
  return (node.op == "Shape" || node.op == "Size") && !has_constant_inputs(graph, node) && known_sizes(graph.value(node.inputs[0]));
}

/// Why a node with constant inputs must stay, or "".
std::string reason_to_keep(const Graph& graph, const Node& node) {
  if (!is_default_domain(node.domain)) return "an operator of another domain is not computed in advance";
  if (!node.bodies.empty()) return "it has a body";
  if (is_one_of(kRandom, node.op)) return "it is random";
  if (node.op == "DequantizeLinear") return "folding it would undo compression";
  if (node.outputs.size() != 1) return "it has several outputs";
  if (graph.is_output(node.outputs[0])) return "its result is an output";
  for (const ValueId id : node.inputs) {
    if (id == ValueId::absent || node.op == "Shape" || node.op == "Size") continue;
    if (!fixed_constant(graph, id)) return "a caller may override one of its inputs";
  }
  if (find_op(node.domain, node.op) == nullptr) return "the built-in executor cannot run it";
  if (is_one_of(kMakers, node.op) && !known_sizes(graph.value(node.outputs[0]))) return "the size of its result is not known";
  return "";
}

Constant shape_of(const Graph& graph, const Node& node) {
  const std::vector<int64_t> sizes = *known_sizes(graph.value(node.inputs[0]));
  const auto rank = static_cast<int64_t>(sizes.size());
  const auto bounded = [&](int64_t at) { return std::clamp<int64_t>(at < 0 ? at + rank : at, 0, rank); };
  if (node.op == "Size") {
    int64_t count = 1;
    for (const int64_t size : sizes) count *= size;
    return make_constant(at::scalar_tensor(count, at::kLong));
  }
  const int64_t start = bounded(int_attribute(node, "start", 0)), end = bounded(int_attribute(node, "end", rank));
  return make_constant(at::tensor(sizes, at::kLong).slice(0, start, std::max(start, end)).clone());
}

/// Runs the node alone.
Constant compute(const Graph& graph, const Node& node) {
  if (const auto given = node.attributes.find("value"); node.op == "Constant" && given != node.attributes.end()) {
    if (const auto* constant = std::get_if<Constant>(&given->second)) return *constant;
  }
  if (reads_static_shape(graph, node)) return shape_of(graph, node);
  Graph alone;
  alone.header() = graph.header();
  Node copy = node;
  for (ValueId& input : copy.inputs) {
    if (input != ValueId::absent) input = alone.add_constant(graph.value(input).name, *graph.constant(input));
  }
  copy.outputs = {alone.add_value({.name = "result"})};
  alone.edit_main().outputs = copy.outputs;
  alone.insert_before(std::nullopt, std::move(copy));
  alone.index();
  const RunValues results = Executor(alone).run({});
  const RunValue& result = results.front();
  if (result.strings) return {.dtype = DType::string, .sizes = result.sizes, .storage = {}, .strings = result.strings};
  if (!result.tensor.defined()) throw UnsupportedError("E3101", "its result is no tensor");
  return make_constant(result.tensor, result.dtype);
}

int64_t inferred_bytes(const Graph& graph, ValueId id) {
  const auto sizes = known_sizes(graph.value(id));
  if (!sizes) return 0;
  double count = 1;
  for (const int64_t size : *sizes) count *= static_cast<double>(size);
  return static_cast<int64_t>(std::min(count * bits_of(graph.value(id).dtype) / 8, 1e15));
}

/// Bytes of constants that go with the node, and of the node itself.
int64_t bytes_saved(const Graph& graph, const Node& node) {
  int64_t saved = kNodeBytes;
  for (const ValueId id : std::set<ValueId>(node.inputs.begin(), node.inputs.end())) {
    if (id == ValueId::absent || !graph.constant(id) || graph.consumers(id).size() != 1 || graph.is_output(id)) continue;
    saved += byte_size(*graph.constant(id));
  }
  for (const auto& [name, attribute] : node.attributes) {
    if (const auto* constant = std::get_if<Constant>(&attribute)) saved += byte_size(*constant);
  }
  return saved;
}

void store(Graph& graph, NodeId id, Constant result) {
  const Node node = graph.node(id);
  const auto& nodes = graph.main().nodes;
  const bool is_in_main = std::find(nodes.begin(), nodes.end(), id) != nodes.end();
  if (is_in_main) {
    remove_with_constants(graph, id);
    become_constant(graph, node.outputs[0], std::move(result));
    return;
  }
  const ValueId made = graph.add_constant_beside(id, graph.value(node.outputs[0]).name, std::move(result));
  graph.replace_uses(node.outputs[0], made);
  remove_with_constants(graph, id);
}

}  // namespace

void fold_constants(Graph& graph, const FoldConstantsOptions& options, PassContext& context) {
  int64_t growth = 0;
  for (const NodeId id : graph.all_nodes()) {
    const Node& node = graph.node(id);
    const std::string label = graph.label(id);
    if (!has_constant_inputs(graph, node) && !reads_static_shape(graph, node)) continue;
    if (const std::string reason = reason_to_keep(graph, node); !reason.empty()) {
      context.report.skip(label, reason);
      continue;
    }
    const auto grows = [&](int64_t bytes) {
      const int64_t more = node.op == "Constant" ? 0 : bytes - bytes_saved(graph, node);
      if (more > kLargestGrowth || growth + more > kGrowthOfAll) return true;
      growth += std::max<int64_t>(more, 0);
      return false;
    };
    if (node.op != "Constant" && inferred_bytes(graph, node.outputs[0]) > bytes_saved(graph, node) + kLargestGrowth) {
      context.report.skip(label, "its result is larger than its inputs");
      continue;
    }
    try {
      Constant result = compute(graph, node);
      if (grows(byte_size(result))) {
        context.report.skip(label, "its result is larger than its inputs");
        continue;
      }
      context.report.change(label, {{"bytes", byte_size(result)}});
      store(graph, id, std::move(result));
    } catch (const Error& error) {
      context.report.skip(label, error.message());
    }
  }
}

}  // namespace niwaki
