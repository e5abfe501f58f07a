#include "passes/cleanup/simplify_shapes.h"

#include "compress/graph_edit.h"
#include "passes/cleanup/symbolic_shapes.h"

#include <algorithm>
#include <limits>
#include <set>

namespace niwaki {
namespace {

using Ints = std::vector<int64_t>;

const std::set<std::string> kArithmetic = {"Add",     "Cast",  "Ceil",  "Concat", "ConstantOfShape", "Div",     "Equal", "Expand", "Flatten", "Floor", "Gather",
                                           "Greater", "Identity", "Less", "Max",  "Min",             "Mul",     "Not",   "Reshape", "Round",  "Shape", "Size",
                                           "Slice",   "Squeeze", "Sub", "Unsqueeze", "Where"};

std::optional<int64_t> constant_of(const std::optional<SymbolicInt>& number) { return number ? number->constant() : std::nullopt; }

/// The numbers where all are known and constant.
std::optional<Ints> constants_of(const SymbolicNumbers* numbers) {
  if (numbers == nullptr) return std::nullopt;
  Ints result;
  for (const auto& number : *numbers) {
    if (!constant_of(number)) return std::nullopt;
    result.push_back(*constant_of(number));
  }
  return result;
}

/// The shape of `x` broadcasts with every number of the target to what it would broadcast with the result.
std::optional<Ints> expand_target(const SymbolicShape* x, const SymbolicNumbers& target) {
  Ints result;
  for (size_t i = 0; i < target.size(); ++i) {
    const auto constant = constant_of(target[i]);
    const bool is_own = x && target[i] && x->size() + i >= target.size() && (*x)[x->size() + i - target.size()] == *target[i];
    if (!constant && !is_own) return std::nullopt;
    result.push_back(is_own ? 1 : *constant);
  }
  return result;
}

/// 0 copies a length of the data. One -1 takes the rest, unless a copied length might be 0: then -1 has no answer.
std::optional<Ints> reshape_target(const SymbolicShape* x, const SymbolicNumbers& target, bool allows_zero) {
  Ints result;
  size_t num_open = 0;
  bool takes_rest = false, may_be_empty = false;
  for (size_t i = 0; i < target.size(); ++i) {
    const auto constant = constant_of(target[i]);
    const bool is_own = !allows_zero && x && target[i] && i < x->size() && (*x)[i] == *target[i];
    takes_rest |= constant == -1;
    may_be_empty |= constant ? *constant == 0 : is_own && !target[i]->is_at_least(1);
    num_open += !constant && !is_own;
    result.push_back(constant ? *constant : is_own ? 0 : -1);
  }
  if (num_open > 1 || (num_open == 1 && (takes_rest || may_be_empty))) return std::nullopt;
  return result;
}

class Simplifier {
 public:
  Simplifier(Graph& graph, PassContext& context) : graph_(graph), context_(context), facts_(graph), main_(graph.main().nodes.begin(), graph.main().nodes.end()) {}
  void run();

 private:
  void simplify_target(NodeId id);
  void skip_reshape(NodeId id);
  void simplify_bounds(NodeId id);
  bool remove_identity(NodeId id);
  void reuse_equal(NodeId id);
  void fold(NodeId id);
  bool is_pure(NodeId id) const { return is_default_domain(graph_.node(id).domain) && kArithmetic.contains(graph_.node(id).op); }
  bool has_own_constant(ValueId id) const { return id == ValueId::absent || graph_.constant(id) != nullptr; }
  void put(NodeId id, size_t input, const Ints& numbers);
  ValueId constant_beside(NodeId id, const std::string& name, Constant constant);

  Graph& graph_;
  PassContext& context_;
  const SymbolicShapes facts_;
  const std::set<NodeId> main_;
  std::map<Ints, ValueId> made_;             // int64 constants of the main body
  std::map<std::string, ValueId> computed_;  // what holds these numbers, of the main body
};

ValueId Simplifier::constant_beside(NodeId id, const std::string& name, Constant constant) {
  return main_.contains(id) ? new_constant(graph_, name, std::move(constant)) : graph_.add_constant_beside(id, name, std::move(constant));
}

void Simplifier::put(NodeId id, size_t input, const Ints& numbers) {
  const std::string label = graph_.label(id);
  const auto found = main_.contains(id) ? made_.find(numbers) : made_.end();
  const ValueId value = found != made_.end() ? found->second : constant_beside(id, label + ".shape", make_constant(at::tensor(numbers, at::kLong)));
  if (main_.contains(id)) made_.emplace(numbers, value);
  graph_.set_input(id, input, value);
  context_.report.change(label);
}

void Simplifier::simplify_target(NodeId id) {
  const Node& node = graph_.node(id);
  const ValueId target = input_or_absent(node, 1);
  if (target == ValueId::absent || has_own_constant(target) || facts_.numbers(target) == nullptr) return;
  const SymbolicNumbers& numbers = *facts_.numbers(target);
  const SymbolicShape* x = facts_.shape(node.inputs[0]);
  const auto wanted = node.op == "Expand" ? expand_target(x, numbers) : reshape_target(x, numbers, int_attribute(node, "allowzero", 0) != 0);
  if (wanted) put(id, 1, *wanted);
}

/// Of two Reshapes in a row the second alone, where its result can be named without the first.
void Simplifier::skip_reshape(NodeId id) {
  const Node& node = graph_.node(id);
  const auto producer = graph_.producer(node.inputs[0]);
  if (!producer || graph_.node(*producer).op != "Reshape" || !is_pure(*producer) || main_.contains(id) != main_.contains(*producer)) return;
  const ValueId source = graph_.node(*producer).inputs[0];
  const SymbolicShape* result = facts_.shape(node.outputs[0]);
  if (result == nullptr || !has_single_use(graph_, node.inputs[0]) || int_attribute(node, "allowzero", 0) != 0 || graph_.opset() < 5) return;
  const auto is_empty = [](const SymbolicInt& length) { return length.constant() && *length.constant() < 1; };
  if (std::any_of(result->begin(), result->end(), is_empty)) return;
  const auto target = reshape_target(facts_.shape(source), {result->begin(), result->end()}, false);
  if (!target) return;
  put(id, 1, *target);
  graph_.set_input(id, 0, source);
  remove_with_constants(graph_, *producer);
}

/// An end that no data goes past becomes "to the end".
void Simplifier::simplify_bounds(NodeId id) {
  const Node& node = graph_.node(id);
  const ValueId ends = input_or_absent(node, 2), axes = input_or_absent(node, 3), steps = input_or_absent(node, 4);
  const SymbolicShape* x = facts_.shape(node.inputs[0]);
  const SymbolicNumbers* numbers = ends == ValueId::absent || has_own_constant(ends) ? nullptr : facts_.numbers(ends);
  const auto axis_list = constant_ints(graph_, axes), step_list = constant_ints(graph_, steps);
  if (x == nullptr || numbers == nullptr || (axes != ValueId::absent && !axis_list) || (steps != ValueId::absent && !step_list)) return;
  const bool is_int32 = graph_.value(ends).dtype != DType::int64;    // starts and ends share a type
  Ints result;
  for (size_t i = 0; i < numbers->size(); ++i) {
    const int64_t axis = axis_list && i < axis_list->size() ? (*axis_list)[i] : static_cast<int64_t>(i);
    const auto place = static_cast<size_t>(axis < 0 ? axis + static_cast<int64_t>(x->size()) : axis);
    const auto& end = (*numbers)[i];
    const auto past = end && place < x->size() ? difference(*end, (*x)[place]) : std::nullopt;
    const bool takes_all = past && past->is_at_least(0) && (!step_list || (i < step_list->size() && (*step_list)[i] > 0));
    if (!takes_all && !constant_of(end)) return;
    result.push_back(constant_of(end) ? *constant_of(end) : std::numeric_limits<int64_t>::max());
  }
  if (!is_int32) put(id, 2, result);
}

bool Simplifier::remove_identity(NodeId id) {
  const Node node = graph_.node(id);
  const SymbolicShape *before = facts_.shape(node.inputs[0]), *after = facts_.shape(node.outputs[0]);
  if (before == nullptr || after == nullptr || *before != *after) return false;
  if (node.op == "Slice") {
    const auto starts = has_attribute(node, "starts") ? std::optional(ints_attribute(node, "starts")) : constants_of(facts_.numbers(input_or_absent(node, 1)));
    const auto steps = input_or_absent(node, 4) == ValueId::absent ? Ints{} : constants_of(facts_.numbers(node.inputs[4])).value_or(Ints{0});
    const auto all_are = [](const Ints& numbers, int64_t wanted) { return std::count(numbers.begin(), numbers.end(), wanted) == static_cast<std::ptrdiff_t>(numbers.size()); };
    if (!starts || !all_are(*starts, 0) || !all_are(steps, 1)) return false;
  }
  const std::string label = graph_.label(id);
  if (!bypass(graph_, id, node.inputs[0], node.outputs[0])) return false;
  context_.report.change(label);
  return true;
}

/// A length that an earlier node has computed already.
void Simplifier::reuse_equal(NodeId id) {
  const ValueId output = graph_.node(id).outputs[0];
  const SymbolicNumbers* numbers = facts_.numbers(output);
  const SymbolicShape* shape = facts_.shape(output);
  const bool is_known = numbers && shape && std::none_of(numbers->begin(), numbers->end(), [](const auto& number) { return !number; });
  if (!is_known || constants_of(numbers) || !main_.contains(id)) return;
  std::string key = cat(static_cast<int>(graph_.value(output).dtype), ":", shape->size());
  for (const auto& number : *numbers) key.append(",").append(number->text());
  const auto [found, is_first] = computed_.emplace(key, output);
  if (is_first || graph_.is_output(output) || graph_.consumers(output).empty()) return;
  context_.report.change(graph_.label(id));
  graph_.replace_uses(output, found->second);
}

/// The constant that the node gives, or nothing of a node whose result is not read.
void Simplifier::fold(NodeId id) {
  const ValueId output = graph_.node(id).outputs[0];
  if (graph_.is_output(output)) return;
  const auto numbers = constants_of(facts_.numbers(output));
  const DType dtype = graph_.value(output).dtype;
  if (graph_.consumers(output).empty()) return remove_with_constants(graph_, id);
  if (!numbers || dtype == DType::undefined) return;
  context_.report.change(graph_.label(id));
  Tensor tensor = at::tensor(*numbers, at::kLong).to(scalar_type(dtype));
  if (facts_.shape(output)->empty()) tensor = tensor.reshape({});
  const std::string name = graph_.value(output).name;
  if (main_.contains(id)) {
    remove_with_constants(graph_, id);
    become_constant(graph_, output, make_constant(tensor));
    return;
  }
  graph_.replace_uses(output, graph_.add_constant_beside(id, name, make_constant(tensor)));
  remove_with_constants(graph_, id);
}

void Simplifier::run() {
  const std::vector<NodeId> order = graph_.all_nodes();
  for (const NodeId id : order) {
    if (!is_pure(id)) continue;
    const std::string op = graph_.node(id).op;
    if ((op == "Reshape" || op == "Expand" || op == "Slice" || op == "Flatten") && remove_identity(id)) continue;
    if (op == "Reshape" || op == "Expand") simplify_target(id);
    if (op == "Slice") simplify_bounds(id);
    reuse_equal(id);
  }
  for (auto id = order.rbegin(); id != order.rend(); ++id) {
    if (graph_.exists(*id) && is_pure(*id)) fold(*id);
  }
  for (const NodeId id : order) {            // last: what read the length between two Reshapes is gone by now
    if (graph_.exists(id) && is_pure(id) && graph_.node(id).op == "Reshape") skip_reshape(id);
  }
}

}  // namespace

void simplify_shapes(Graph& graph, const SimplifyShapesOptions&, PassContext& context) { Simplifier(graph, context).run(); }

}  // namespace niwaki
