#include "compress/graph_edit.h"

#include <algorithm>
#include <set>

namespace niwaki {
namespace {

constexpr int64_t kInitializersAreNoInputs = 4;   // IR version
constexpr size_t kHabit = 8, kHabitShare = 4;     // listed inputs, and one of how many initializers, that show a habit

/// True if the exporter listed its initializers as inputs by habit, as all did before IR version 4: nobody sets them.
bool lists_initializers(const Graph& graph) {
  if (graph.header().ir_version < kInitializersAreNoInputs) return true;
  size_t listed = 0;
  for (const ValueId id : graph.main().inputs) listed += graph.constant(id) ? 1 : 0;
  return listed >= kHabit && listed * kHabitShare >= graph.main().constants.size();
}

bool contains(const std::vector<ValueId>& list, ValueId id) { return std::find(list.begin(), list.end(), id) != list.end(); }

bool is_in_main(const Graph& graph, NodeId id) {
  const auto& nodes = graph.main().nodes;
  return std::find(nodes.begin(), nodes.end(), id) != nodes.end();
}

/// Lets the producer of `input` make `output` instead; everyone who read `input` reads `output`.
void rename_through(Graph& graph, NodeId node, ValueId input, ValueId output) {
  const NodeId producer = *graph.producer(input);
  graph.remove(node);
  graph.replace_uses(input, output);
  std::vector<ValueId> outputs = graph.node(producer).outputs;
  std::replace(outputs.begin(), outputs.end(), input, output);
  graph.set_outputs(producer, std::move(outputs));
}

}  // namespace

const Constant* fixed_constant(const Graph& graph, ValueId id) {
  const Constant* constant = id == ValueId::absent ? nullptr : graph.constant(id);
  if (constant == nullptr) return nullptr;
  const bool is_default_only = graph.is_main_input(id) && !lists_initializers(graph);
  return is_default_only ? nullptr : constant;
}

bool is_constant_scalar(const Graph& graph, ValueId id, double number) {
  const Constant* constant = fixed_constant(graph, id);
  if (constant == nullptr || constant->strings || element_count(*constant) == 0) return false;
  const Tensor numbers = values(*constant);
  return !numbers.is_complex() && (numbers.to(at::kDouble) == number).all().item<bool>();
}

ValueId input_or_absent(const Node& node, size_t index) { return index < node.inputs.size() ? node.inputs[index] : ValueId::absent; }

std::optional<std::vector<int64_t>> constant_ints(const Graph& graph, ValueId id) {
  const Constant* constant = fixed_constant(graph, id);
  if (constant == nullptr || (constant->dtype != DType::int64 && constant->dtype != DType::int32)) return std::nullopt;
  const Tensor flat = values(*constant).to(at::kLong).reshape({-1}).contiguous();
  return std::vector<int64_t>(flat.const_data_ptr<int64_t>(), flat.const_data_ptr<int64_t>() + flat.numel());
}

bool has_single_use(const Graph& graph, ValueId id) {
  const auto users = graph.consumers(id);
  if (users.size() != 1 || graph.is_output(id)) return false;
  const auto& inputs = graph.node(users.front()).inputs;
  return std::count(inputs.begin(), inputs.end(), id) == 1;
}

bool is_interface(const Graph& graph, ValueId id) {
  if (graph.is_output(id) || graph.is_main_input(id)) return true;
  return !graph.producer(id) && graph.constant(id) == nullptr;   // an input of another body
}

ValueId new_constant(Graph& graph, const std::string& name, Constant constant) {
  const ValueId id = graph.add_constant(name, std::move(constant));
  if (lists_initializers(graph)) graph.edit_main().inputs.push_back(id);
  return id;
}

void become_constant(Graph& graph, ValueId id, Constant constant) {
  graph.set_constant(id, std::move(constant));
  graph.edit_main().constants.push_back(id);
  if (lists_initializers(graph)) graph.edit_main().inputs.push_back(id);
}

ValueId replace_constant_input(Graph& graph, NodeId node, size_t index, Constant constant, const std::string& name) {
  const ValueId old = input_or_absent(graph.node(node), index);
  if (fixed_constant(graph, old) && has_single_use(graph, old)) {
    graph.set_constant(old, std::move(constant));
    return old;
  }
  const ValueId made = new_constant(graph, name, std::move(constant));
  graph.set_input(node, index, made);
  return made;
}

bool remove_unused_constant(Graph& graph, ValueId id) {
  if (fixed_constant(graph, id) == nullptr || !graph.consumers(id).empty() || graph.is_output(id)) return false;
  graph.remove_constant(id);
  auto& inputs = graph.edit_main().inputs;
  if (contains(inputs, id)) inputs.erase(std::find(inputs.begin(), inputs.end(), id));
  return true;
}

void remove_with_constants(Graph& graph, NodeId node) {
  const std::vector<ValueId> inputs = graph.node(node).inputs;
  graph.remove(node);
  for (const ValueId id : std::set<ValueId>(inputs.begin(), inputs.end())) remove_unused_constant(graph, id);
}

bool bypass(Graph& graph, NodeId node, ValueId input, ValueId output) {
  const std::vector<ValueId> inputs = graph.node(node).inputs;
  if (!graph.is_output(output)) {
    graph.replace_uses(output, input);
    graph.remove(node);
  } else {
    const auto producer = graph.producer(input);
    if (is_interface(graph, input) || !producer || !is_in_main(graph, *producer) || !is_in_main(graph, node)) return false;
    rename_through(graph, node, input, output);
  }
  for (const ValueId id : std::set<ValueId>(inputs.begin(), inputs.end())) remove_unused_constant(graph, id);
  return true;
}

}  // namespace niwaki
