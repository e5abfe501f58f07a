#include "passes/store/stored_form.h"

#include "compress/error.h"
#include "compress/graph_edit.h"
#include "compress/ops/op_arguments.h"
#include "compress/ops/op_table.h"

#include <algorithm>

namespace niwaki {
namespace {

constexpr int64_t kInitializersAreNoInputs = 4;   // IR version
constexpr int64_t kShareable = 4096;         // bytes: tables and shapes; weights are compared by others

int64_t varint(uint64_t number) {
  int64_t bytes = 1;
  while (number >>= 7) ++bytes;
  return bytes;
}

/// A length-delimited field whose tag takes one byte.
int64_t field_bytes(int64_t content) { return 1 + varint(static_cast<uint64_t>(content)) + content; }

int64_t tensor_bytes(const Constant& constant, std::optional<size_t> name_length) {
  int64_t bytes = 1 + varint(static_cast<uint64_t>(constant.dtype)) + field_bytes(byte_size(constant));
  for (const int64_t size : constant.sizes) bytes += 1 + varint(static_cast<uint64_t>(size));
  return bytes + (name_length ? field_bytes(static_cast<int64_t>(*name_length)) : 0);
}

int64_t attribute_bytes(const std::string& name, const Attribute& attribute) {
  int64_t bytes = field_bytes(static_cast<int64_t>(name.size())) + 3;      // name and type
  if (const auto* number = std::get_if<int64_t>(&attribute)) {
    bytes += 1 + varint(static_cast<uint64_t>(*number));
  } else if (const auto* numbers = std::get_if<std::vector<int64_t>>(&attribute)) {
    for (const int64_t one : *numbers) bytes += 1 + varint(static_cast<uint64_t>(one));
  } else if (const auto* constant = std::get_if<Constant>(&attribute)) {
    bytes += field_bytes(tensor_bytes(*constant, std::nullopt));
  } else {
    throw InternalError("a stored form has an attribute of another kind");
  }
  return field_bytes(bytes);
}

std::string text_of(const Constant& constant) {
  std::string text = cat(static_cast<int>(constant.dtype), "[");
  for (const int64_t size : constant.sizes) text += cat(size, ",");
  const auto bytes = raw_bytes(constant);
  return text.append("]").append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

std::string text_of(const Attribute& attribute) {
  if (const auto* number = std::get_if<int64_t>(&attribute)) return std::to_string(*number);
  if (const auto* constant = std::get_if<Constant>(&attribute)) return text_of(*constant);
  std::string text;
  for (const int64_t one : std::get<std::vector<int64_t>>(attribute)) text += cat(one, ",");
  return text;
}

}  // namespace

std::string base36(uint64_t number) {
  std::string text;
  do {
    text.insert(text.begin(), "0123456789abcdefghijklmnopqrstuvwxyz"[number % 36]);
    number /= 36;
  } while (number > 0);
  return text;
}

StoredForm::Term StoredForm::constant(Constant constant) {
  terms_.emplace_back(std::move(constant));
  return terms_.size() - 1;
}

StoredForm::Term StoredForm::constant(const Tensor& numbers, DType dtype) { return constant(make_constant(numbers, dtype)); }

StoredForm::Term StoredForm::integers(const std::vector<int64_t>& numbers) {
  return constant(at::tensor(numbers, at::kLong));
}

StoredForm::Term StoredForm::value(ValueId id) {
  terms_.emplace_back(id);
  return terms_.size() - 1;
}

StoredForm::Term StoredForm::node(const std::string& op, std::vector<Term> inputs, std::map<std::string, Attribute> attributes) {
  terms_.emplace_back(Operation{op, std::move(inputs), std::move(attributes)});
  return terms_.size() - 1;
}

StoredForm::Term StoredForm::cast(Term input, DType dtype) { return node("Cast", {input}, {{"to", static_cast<int64_t>(dtype)}}); }

Constant expanded(const Graph& graph, const StoredForm& form) {
  RunValues values;
  for (const StoredForm::Any& term : form.terms()) {
    if (const auto* constant = std::get_if<Constant>(&term)) {
      values.push_back(run_value(*constant));
    } else if (const auto* id = std::get_if<ValueId>(&term)) {
      values.push_back(run_value(*graph.constant(*id)));
    } else {
      const auto& operation = std::get<StoredForm::Operation>(term);
      const OpFunction function = find_op("", operation.op);
      if (function == nullptr) throw InternalError(cat("a stored form needs ", operation.op));
      RunValues inputs;
      for (const size_t input : operation.inputs) inputs.push_back(values[input]);
      const Node node{.op = operation.op, .inputs = std::vector<ValueId>(inputs.size(), ValueId{1}), .outputs = {ValueId{1}}, .attributes = operation.attributes};
      values.push_back(function({node, graph.opset(), inputs, {}}).at(0));
    }
  }
  return make_constant(values.back().tensor, values.back().dtype);
}

int64_t initializer_bytes(const Constant& constant, size_t name_length) { return field_bytes(tensor_bytes(constant, name_length)); }

struct ConstantStore::Plan {
  struct Term {
    std::optional<ValueId> known;
    std::string key, name;                   // key: what the term says; "" for what is not shared
  };
  std::vector<Term> terms;
  int64_t bytes = 0;
};

ConstantStore::ConstantStore(Graph& graph) : graph_(graph) { note_homes(graph.main(), {}); }

void ConstantStore::note_homes(const Body& body, const Home& home) {
  for (const ValueId id : body.constants) homes_.emplace(id, home);
  for (const NodeId id : body.nodes) {
    for (const auto& [name, inner] : graph_.node(id).bodies) note_homes(inner, {id, name});
  }
}

const Body& ConstantStore::body(const Home& home) const { return home.owner ? graph_.node(*home.owner).bodies.at(home.attribute) : graph_.main(); }

std::string ConstantStore::obstacle(ValueId id) const {
  const auto home = homes_.find(id);
  if (home == homes_.end() || graph_.constant(id) == nullptr) return "is no initializer";
  if (graph_.is_main_input(id)) return "is a graph input";
  if (graph_.is_output(id)) return "is an output of its graph";
  if (graph_.constant(id)->sparse || graph_.constant(id)->strings) return "is sparse or text";
  return body(home->second).nodes.empty() ? "is in a body without nodes" : "";
}

std::string ConstantStore::next_name(std::set<std::string>& taken) const {
  for (uint64_t number = taken.size();; ++number) {
    std::string name = base36(number);
    if (!taken.contains(name) && graph_.fresh_name(name) == name) return *taken.insert(std::move(name)).first;
  }
}

ConstantStore::Plan ConstantStore::plan(ValueId id, const StoredForm& form) const {
  const auto known = known_.find(homes_.at(id));
  Plan plan;
  std::set<std::string> taken;
  for (const StoredForm::Any& any : form.terms()) {
    Plan::Term term;
    const bool is_last = plan.terms.size() + 1 == form.terms().size();
    const auto* constant = std::get_if<Constant>(&any);
    const auto* operation = std::get_if<StoredForm::Operation>(&any);
    if (constant && byte_size(*constant) <= kShareable) term.key = cat("c", text_of(*constant));
    if (operation && !is_last) {
      term.key = cat("n", operation->op);
      for (const auto& [name, attribute] : operation->attributes) term.key += cat(" ", name, "=", text_of(attribute));
      for (const size_t input : operation->inputs) {
        const std::string key = plan.terms[input].key;
        term.key = key.empty() || term.key.empty() ? "" : cat(term.key, "(", key, ")");
      }
    }
    if (const auto* value = std::get_if<ValueId>(&any)) term.known = *value;
    if (known != known_.end() && !term.key.empty() && known->second.contains(term.key)) term.known = known->second.at(term.key);
    term.name = term.known ? graph_.value(*term.known).name : is_last ? graph_.value(id).name : next_name(taken);
    if (constant && !term.known) plan.bytes += initializer_bytes(*constant, term.name.size());
    if (operation && !term.known) {
      int64_t bytes = field_bytes(static_cast<int64_t>(term.name.size())) + field_bytes(static_cast<int64_t>(operation->op.size()));
      for (const size_t input : operation->inputs) bytes += field_bytes(static_cast<int64_t>(plan.terms[input].name.size()));
      for (const auto& [name, attribute] : operation->attributes) bytes += attribute_bytes(name, attribute);
      plan.bytes += field_bytes(bytes);
    }
    plan.terms.push_back(std::move(term));
  }
  return plan;
}

int64_t ConstantStore::growth(ValueId id, const StoredForm& form) const {
  return plan(id, form).bytes - initializer_bytes(*graph_.constant(id), graph_.value(id).name.size());
}

NodeId ConstantStore::insert(const Home& home, Node node) {
  const auto last = last_.find(home);
  const NodeId made = last == last_.end() ? graph_.insert_before(body(home).nodes.front(), std::move(node)) : graph_.insert_after(last->second, std::move(node));
  last_.insert_or_assign(home, made);
  return made;
}

void ConstantStore::replace(ValueId id, const StoredForm& form) {
  const Home home = homes_.at(id);
  Plan plan = this->plan(id, form);
  graph_.remove_constant(id);
  for (size_t i = 0; i < plan.terms.size(); ++i) {
    Plan::Term& term = plan.terms[i];
    if (term.known) continue;
    if (const auto* constant = std::get_if<Constant>(&form.terms()[i])) {
      term.known = home.owner ? graph_.add_constant_beside(body(home).nodes.front(), term.name, *constant) : graph_.add_constant(term.name, *constant);
    } else {
      const auto& operation = std::get<StoredForm::Operation>(form.terms()[i]);
      term.known = i + 1 == plan.terms.size() ? id : graph_.add_value({.name = term.name});
      Node node{.op = operation.op, .outputs = {*term.known}, .attributes = operation.attributes};
      for (const size_t input : operation.inputs) node.inputs.push_back(*plan.terms[input].known);
      insert(home, std::move(node));
    }
    if (!term.key.empty()) known_[home].emplace(term.key, *term.known);
  }
  homes_.erase(id);
}

bool release_constant_inputs(Graph& graph, PassReport& report) {
  std::set<ValueId> fixed;                   // asked before any input goes: the answer depends on how many are listed
  for (const ValueId id : graph.main().inputs) {
    if (fixed_constant(graph, id) != nullptr) fixed.insert(id);
  }
  if (fixed.empty()) return false;
  auto& inputs = graph.edit_main().inputs;
  inputs.erase(std::remove_if(inputs.begin(), inputs.end(), [&](ValueId id) { return fixed.contains(id); }), inputs.end());
  graph.header().ir_version = std::max(graph.header().ir_version, kInitializersAreNoInputs);
  report.changes.emplace_back("graph inputs", cat(fixed.size(), " that only list initializers are no longer inputs (IR version ", graph.header().ir_version, ")"));
  graph.touch();
  return true;
}

void drop_described_types(Graph& graph, PassReport& report) {
  auto& described = graph.edit_main().described;
  const auto is_text = [&](ValueId id) {
    const auto producer = graph.producer(id);
    return !producer || is_default_domain(graph.node(*producer).domain);
  };
  const auto dropped = std::remove_if(described.begin(), described.end(), is_text);
  if (dropped == described.end()) return;
  report.changes.emplace_back(cat(described.end() - dropped, " value types"), "readers infer the types of inner values again");
  described.erase(dropped, described.end());
  graph.touch();
}

}  // namespace niwaki
