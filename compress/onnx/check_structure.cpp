#include "compress/onnx/check_structure.h"

#include "compress/error.h"
#include "compress/onnx/proto.h"

#include <onnx/checker.h>
#include <onnx/defs/schema.h>
#include <onnx/onnx_pb.h>

namespace niwaki {
namespace {

std::string count_text(int least, int most) {
  if (least == most) return std::to_string(least);
  return most == std::numeric_limits<int>::max() ? cat("at least ", least) : cat(least, " to ", most);
}

void check_arity(const Node& node, const onnx::OpSchema& schema) {
  const int inputs = static_cast<int>(node.inputs.size()), outputs = static_cast<int>(node.outputs.size());
  if (inputs < schema.min_input() || inputs > schema.max_input()) {
    throw ModelError("E1107", cat(node.op, " has ", inputs, " inputs"), {.found = cat("needed ", count_text(schema.min_input(), schema.max_input()))});
  }
  if (outputs > schema.max_output()) {
    throw ModelError("E1107", cat(node.op, " has ", outputs, " outputs"), {.found = cat("needed ", count_text(schema.min_output(), schema.max_output()))});
  }
}

void check_attributes(const Node& node, const onnx::OpSchema& schema) {
  for (const auto& [name, attribute] : schema.attributes()) {
    if (attribute.required && !node.attributes.contains(name) && !node.bodies.contains(name)) {
      throw ModelError("E1108", cat(node.op, " lacks its attribute '", name, "'"));
    }
  }
}

}  // namespace

void check_structure(const Graph& graph, Strings* notes) {
  std::set<std::string> carried;
  for (const NodeId id : graph.all_nodes()) {
    const Node& node = graph.node(id);
    const std::string domain = is_default_domain(node.domain) ? "" : node.domain;
    const auto* schema = onnx::OpSchemaRegistry::Schema(node.op, static_cast<int>(graph.opset(domain)), domain);
    if (schema == nullptr) {
      carried.insert(cat(domain.empty() ? "" : domain + ".", node.op));
      continue;
    }
    try {
      check_arity(node, *schema);
      check_attributes(node, *schema);
    } catch (Error& error) {
      error.within(cat("node '", printable(graph.label(id)), "'"));
      throw;
    }
  }
  for (const std::string& op : carried) {
    if (notes) notes->push_back(cat("W1113: operator '", printable(op), "' is carried through as it is"));
  }
}

std::string checker_verdict(const Graph& graph) {
  try {
    onnx::checker::check_model(graph_to_proto(graph), true);
    return "";
  } catch (const std::exception& error) {
    return error.what();
  }
}

}  // namespace niwaki
