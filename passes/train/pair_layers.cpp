#include "passes/train/pair_layers.h"

#include "compress/error.h"
#include "compress/linear_view.h"

#include <algorithm>

namespace niwaki {
namespace {

/// All but the first axis, which is the batch.
bool same_rows(const Value& a, const Value& b) {
  if (!a.shape || !b.shape || a.shape->size() != b.shape->size() || a.shape->size() < 2) return false;
  return std::equal(a.shape->begin() + 1, a.shape->end(), b.shape->begin() + 1);
}

bool ends_a_block(const Graph& graph, const Node& node) {
  const auto is_computed = [&](ValueId id) { return id != ValueId::absent && !graph.constant(id) && graph.producer(id); };
  return node.op == "Add" && is_default_domain(node.domain) && is_computed(node.inputs[0]) && is_computed(node.inputs[1]);
}

ValueId named_value(const Graph& graph, const std::string& name, const std::string& model) {
  Strings known;
  for (const NodeId id : graph.main().nodes) {
    const Node& node = graph.node(id);
    if (node.outputs.empty()) continue;
    if (graph.label(id) == name) return node.outputs[0];
    for (const ValueId output : node.outputs) {
      if (output == ValueId::absent) continue;
      if (graph.value(output).name == name) return output;
      known.push_back(graph.value(output).name);
    }
    known.push_back(graph.label(id));
  }
  const std::string near = nearest(name, known);
  throw UsageError("E2007", cat("nothing in the ", model, " is called '", printable(name), "'"),
                   {.help = near.empty() ? "`niwaki inspect MODEL --ops` lists the names" : cat("did you mean '", printable(near), "'?")});
}

}  // namespace

double share_of_namesakes(const Graph& student, const Graph& teacher) {
  const std::vector<LinearView> views = linear_views(student);
  const auto has_namesake = [&](const LinearView& view) {
    const auto value = teacher.find_value(student.value(view.output).name);
    const auto producer = value ? teacher.producer(*value) : std::nullopt;
    return producer && linear_view(teacher, *producer).has_value();
  };
  return views.empty() ? 0 : static_cast<double>(std::count_if(views.begin(), views.end(), has_namesake)) / static_cast<double>(views.size());
}

std::vector<LayerPair> pair_by_name(const Graph& student, const Graph& teacher) {
  std::vector<LayerPair> pairs;
  for (const NodeId id : student.main().nodes) {
    const Node& node = student.node(id);
    if (!ends_a_block(student, node)) continue;
    const ValueId own = node.outputs[0];
    const auto other = teacher.find_value(student.value(own).name);
    if (!other || !teacher.producer(*other) || student.is_output(own)) continue;
    if (ends_a_block(teacher, teacher.node(*teacher.producer(*other))) && same_rows(student.value(own), teacher.value(*other))) pairs.push_back({own, *other});
  }
  return pairs;
}

std::vector<LayerPair> named_pairs(const std::string& text, const Graph& student, const Graph& teacher) {
  std::vector<LayerPair> pairs;
  std::istringstream all(text);
  for (std::string one; std::getline(all, one, ',');) {
    const size_t middle = one.find('=');
    if (middle == std::string::npos || middle == 0 || middle + 1 == one.size()) {
      throw UsageError("E2005", cat("'", printable(one), "' is no pair"), {.help = "write pairs as STUDENT=TEACHER,STUDENT=TEACHER with names of values"});
    }
    pairs.push_back({named_value(student, one.substr(0, middle), "student"), named_value(teacher, one.substr(middle + 1), "teacher")});
  }
  return pairs;
}

}  // namespace niwaki
