#include "compress/onnx/raise_opset.h"

#include "compress/error.h"
#include "compress/onnx/proto.h"

#include <onnx/onnx_pb.h>
#include <onnx/version_converter/convert.h>

#include <unordered_map>
#include <unordered_set>

namespace niwaki {
namespace {

/// The converter keeps names, operators and numbers; everything else is taken from the graph as it was.
void restore(const Graph& before, Graph& after) {
  ModelHeader header = before.header();
  header.opsets[""] = after.opset();
  header.ir_version = std::max(before.header().ir_version, least_ir_version(after.opset()));
  after.header() = std::move(header);
  std::unordered_map<std::string, const Node*> nodes;
  std::unordered_set<std::string> names;     // an operator that became several keeps its name on one of them
  for (const NodeId id : after.main().nodes) names.insert(after.node(id).name);
  for (const NodeId id : before.main().nodes) {
    const Node& node = before.node(id);
    if (!node.outputs.empty() && node.outputs[0] != ValueId::absent) nodes[before.value(node.outputs[0]).name] = &node;
  }
  for (const NodeId id : std::vector<NodeId>(after.main().nodes)) {
    const Node& node = after.node(id);
    if (node.outputs.empty() || node.outputs[0] == ValueId::absent) continue;
    const auto old = nodes.find(after.value(node.outputs[0]).name);
    if (old != nodes.end() && node.name.empty() && !names.contains(old->second->name)) after.set_node_name(id, old->second->name);
  }
  Body& main = after.edit_main();
  main.name = before.main().name;
  main.doc = before.main().doc;
  main.described.clear();
  const auto put_back = [&](const std::vector<ValueId>& from, const std::vector<ValueId>& to) {
    for (size_t i = 0; i < from.size() && i < to.size(); ++i) {
      const Value& value = before.value(from[i]);
      if (value.name == after.value(to[i]).name) after.set_value(to[i], value);
    }
  };
  put_back(before.main().inputs, main.inputs);
  put_back(before.main().outputs, main.outputs);
}

}  // namespace

int64_t least_ir_version(int64_t opset) {
  constexpr std::pair<int64_t, int64_t> kLeast[] = {{25, 13}, {24, 12}, {23, 11}, {21, 10}, {19, 9}, {15, 8},
                                                    {12, 7},  {11, 6},  {10, 5},  {9, 4}};
  for (const auto& [from, version] : kLeast) {
    if (opset >= from) return version;
  }
  return 3;
}

void raise_opset(Graph& graph, int64_t opset) {
  if (graph.opset() >= opset) return;
  if (!graph.header().functions.empty()) {
    throw UnsupportedError("E3103", cat("the model has functions of its own, which the converter to opset ", opset, " loses"));
  }
  const auto place = [&] { return cat("cannot convert from opset ", graph.opset(), " to ", opset); };
  try {
    onnx::ModelProto model = graph_to_proto(graph);
    model.mutable_graph()->clear_value_info();
    onnx::ModelProto converted = onnx::version_conversion::ConvertVersion(model, static_cast<int>(opset));
    Graph raised = graph_from_proto(std::move(converted), {});
    restore(graph, raised);
    graph = std::move(raised);
  } catch (const Error& error) {
    throw UnsupportedError("E3103", cat(place(), ": ", error.what()));
  } catch (const std::exception& error) {
    throw UnsupportedError("E3103", cat(place(), ": ", printable(error.what(), 300)));
  }
}

}  // namespace niwaki
