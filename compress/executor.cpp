#include "compress/executor.h"

#include "compress/error.h"

#include <c10/core/GradMode.h>

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

namespace niwaki {
namespace {

using Frame = std::vector<RunValue>;         // by ValueId

struct Step {
  NodeId node;
  OpFunction function;
  int64_t opset;
  std::vector<ValueId> done;                 // values that nobody in this body reads afterwards
};

/// Values that the bodies of a node take from around it, and those that they make.
void captured(const Graph& graph, const Body& body, std::unordered_set<uint32_t>& used) {
  for (const ValueId output : body.outputs) used.insert(index_of(output));
  for (const NodeId id : body.nodes) {
    for (const ValueId input : graph.node(id).inputs) used.insert(index_of(input));
    for (const auto& [name, inner] : graph.node(id).bodies) captured(graph, inner, used);
  }
}

}  // namespace

struct Executor::Plan {
  const Graph& graph;
  ExecutorOptions options;
  std::vector<ValueId> inputs;
  Frame constants;
  std::unordered_map<const Body*, std::vector<Step>> steps;

  Plan(const Graph& which, ExecutorOptions how) : graph(which), options(std::move(how)) {}
  void prepare(const Body& body);
  const std::vector<ValueId>& results(const Body& body) const { return &body == &graph.main() && !options.until.empty() ? options.until : body.outputs; }
  void take_constants(const Body& body);
  RunValues run_body(const Body& body, std::span<const RunValue> given, Frame& frame, const Observe& observe) const;
  void run_step(const Step& step, Frame& frame, const Observe& observe) const;
};

void Executor::Plan::take_constants(const Body& body) {
  for (const ValueId id : body.constants) {
    const Constant& constant = *graph.constant(id);
    RunValue& slot = constants[index_of(id)];
    slot.dtype = constant.dtype;
    if (constant.strings) {
      slot.strings = constant.strings;
      slot.sizes = constant.sizes;
      continue;
    }
    if (const auto leaf = options.leaves.find(id); leaf != options.leaves.end()) {
      slot.tensor = leaf->second;
      continue;
    }
    slot.tensor = values(constant).to(options.device);
    if (options.trainable.contains(id)) slot.tensor = slot.tensor.clone().set_requires_grad(true);
  }
}

/// The nodes of the main body that `wanted` follows from.
std::unordered_set<uint32_t> needed_nodes(const Graph& graph, const std::vector<ValueId>& wanted) {
  std::unordered_set<uint32_t> values, nodes;
  for (const ValueId id : wanted) values.insert(index_of(id));
  const auto& order = graph.main().nodes;
  for (auto id = order.rbegin(); id != order.rend(); ++id) {
    const Node& node = graph.node(*id);
    if (std::none_of(node.outputs.begin(), node.outputs.end(), [&](ValueId output) { return values.contains(index_of(output)); })) continue;
    nodes.insert(static_cast<uint32_t>(*id));
    for (const ValueId input : node.inputs) values.insert(index_of(input));
    for (const auto& [name, inner] : node.bodies) captured(graph, inner, values);
  }
  return nodes;
}

void Executor::Plan::prepare(const Body& body) {
  take_constants(body);
  const bool is_partial = &body == &graph.main() && !options.until.empty();
  const auto needed = is_partial ? needed_nodes(graph, options.until) : std::unordered_set<uint32_t>{};
  std::vector<Step>& list = steps[&body];
  std::unordered_map<uint32_t, size_t> last;
  std::unordered_set<uint32_t> made;
  for (const ValueId input : body.inputs) made.insert(index_of(input));
  for (const NodeId id : body.nodes) {
    if (is_partial && !needed.contains(static_cast<uint32_t>(id))) continue;
    const Node& node = graph.node(id);
    for (const auto& [name, inner] : node.bodies) prepare(inner);
    list.push_back({id, find_op(node.domain, node.op), graph.opset(node.domain), {}});
    std::unordered_set<uint32_t> used;
    for (const ValueId input : node.inputs) used.insert(index_of(input));
    for (const auto& [name, inner] : node.bodies) captured(graph, inner, used);
    for (const uint32_t value : used) last[value] = list.size() - 1;
    for (const ValueId output : node.outputs) {
      made.insert(index_of(output));
      last.emplace(index_of(output), list.size() - 1);
    }
  }
  for (const ValueId output : results(body)) last.erase(index_of(output));
  for (const auto& [value, step] : last) {
    // an outer value may be read again by the next turn of a loop: only the body's own are freed
    if (made.contains(value) && value != 0) list[step].done.push_back(static_cast<ValueId>(value));
  }
}

void Executor::Plan::run_step(const Step& step, Frame& frame, const Observe& observe) const {
  const Node& node = graph.node(step.node);
  RunValues inputs;
  inputs.reserve(node.inputs.size());
  for (const ValueId input : node.inputs) {
    const RunValue& fixed = constants[index_of(input)];
    inputs.push_back(fixed.is_present() ? fixed : frame[index_of(input)]);
  }
  OpCall call{node, step.opset, inputs, {}};
  if (!node.bodies.empty()) {
    call.run_body = [&](const Body& body, std::span<const RunValue> given) { return run_body(body, given, frame, observe); };
  }
  RunValues outputs = step.function(call);
  for (size_t i = 0; i < node.outputs.size() && i < outputs.size(); ++i) {
    const ValueId output = node.outputs[i];
    if (output == ValueId::absent) continue;
    if (observe && outputs[i].tensor.defined()) observe(output, outputs[i].tensor);
    frame[index_of(output)] = std::move(outputs[i]);
  }
  for (const ValueId value : step.done) frame[index_of(value)] = {};
}

RunValues Executor::Plan::run_body(const Body& body, std::span<const RunValue> given, Frame& frame, const Observe& observe) const {
  for (size_t i = 0, next = 0; i < body.inputs.size() && next < given.size(); ++i) {
    if (&body == &graph.main() && graph.constant(body.inputs[i])) continue;
    if (observe && given[next].tensor.defined()) observe(body.inputs[i], given[next].tensor);
    frame[index_of(body.inputs[i])] = given[next++];
  }
  for (const Step& step : steps.at(&body)) {
    const auto place = [&] { return cat("node '", printable(graph.label(step.node)), "' (", printable(graph.node(step.node).op), ")"); };
    try {
      run_step(step, frame, observe);
    } catch (Error& error) {
      error.within(place());
      throw;
    } catch (const c10::Error& error) {
      std::string text = error.what_without_backtrace();
      throw ModelError("E1320", cat("the node cannot be computed: ", printable(text.substr(0, text.find('\n')), 300)), {.where = place()});
    }
  }
  RunValues outputs;
  for (const ValueId output : results(body)) {
    const RunValue& fixed = constants[index_of(output)];
    outputs.push_back(fixed.is_present() ? fixed : frame[index_of(output)]);
  }
  return outputs;
}

Executor::Executor(const Graph& graph, ExecutorOptions options) : plan_(std::make_unique<Plan>(graph, std::move(options))) {
  const auto lacking = unsupported_nodes(graph);
  if (!lacking.empty()) {
    std::string names;
    for (size_t i = 0; i < lacking.size() && i < 5; ++i) names += cat(i ? ", " : "", printable(lacking[i], 80));
    if (lacking.size() > 5) names += cat(" and ", lacking.size() - 5, " more");
    throw UnsupportedError("E3101", cat("the built-in executor cannot run ", names),
                           {.help = "use --mode storage or --mode weight_only, which need no execution"});
  }
  plan_->constants.resize(graph.num_values());
  plan_->prepare(graph.main());
  for (const ValueId input : graph.main().inputs) {
    if (graph.constant(input) == nullptr) plan_->inputs.push_back(input);
  }
}

Executor::~Executor() = default;
Executor::Executor(Executor&&) noexcept = default;

RunValues Executor::run(std::span<const RunValue> inputs, const Observe& observe) const {
  if (inputs.size() != plan_->inputs.size()) {
    throw UsageError("E1704", cat("the model has ", plan_->inputs.size(), " inputs, ", inputs.size(), " were given"));
  }
  const c10::AutoGradMode mode(!plan_->options.trainable.empty());
  Frame frame(plan_->graph.num_values());
  return plan_->run_body(plan_->graph.main(), inputs, frame, observe);
}

const std::vector<ValueId>& Executor::inputs() const { return plan_->inputs; }

Tensor Executor::parameter(ValueId id) const { return plan_->constants.at(index_of(id)).tensor; }

std::vector<std::string> unsupported_nodes(const Graph& graph) {
  std::vector<std::string> lacking;
  for (const NodeId id : graph.all_nodes()) {
    const Node& node = graph.node(id);
    if (find_op(node.domain, node.op) != nullptr) continue;
    lacking.push_back(cat(graph.label(id), " (", is_default_domain(node.domain) ? "" : node.domain + ".", node.op, ")"));
  }
  return lacking;
}

}  // namespace niwaki
