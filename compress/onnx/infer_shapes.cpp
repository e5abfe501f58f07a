#include "compress/onnx/infer_shapes.h"

#include "compress/error.h"
#include "compress/onnx/proto.h"
#include "compress/onnx/tensor_proto.h"

#include <onnx/onnx_pb.h>
#include <onnx/shape_inference/implementation.h>

#include <unordered_map>

namespace niwaki {
namespace {

constexpr int64_t kSmallWeight = 1024;       // bytes: shapes and axes are smaller, weights are larger

using Types = std::unordered_map<std::string, const onnx::TypeProto*>;

Types types_of(const onnx::GraphProto& proto) {
  Types types;
  for (const auto& info : proto.value_info()) types.emplace(info.name(), &info.type());
  for (const auto& info : proto.output()) types.emplace(info.name(), &info.type());
  return types;
}

/// Takes a type that says more than what is known; what is declared outside of inference stays.
void learn(Graph& graph, ValueId id, const onnx::TypeProto& proto) {
  const Value& known = graph.value(id);
  if (!known.type.bytes.empty() || graph.constant(id)) return;
  Value inferred;
  type_from_proto(proto, inferred);
  if (inferred.dtype == DType::undefined) {
    if (inferred.type.bytes.empty() || known.dtype != DType::undefined) return;
    Value typed = known;
    typed.type = inferred.type;
    graph.set_value(id, std::move(typed));
    return;
  }
  graph.set_type(id, inferred.dtype, inferred.shape ? inferred.shape : known.shape);
}

void take(Graph& graph, const Body& body, const onnx::GraphProto& proto) {
  const Types types = types_of(proto);
  for (size_t i = 0; i < body.nodes.size(); ++i) {
    const Node node = graph.node(body.nodes[i]);
    for (const ValueId output : node.outputs) {
      if (output == ValueId::absent) continue;
      const auto found = types.find(graph.value(output).name);
      // what the file declares for the outputs of a graph stays, an empty type (kept in `rest`) too
      const bool is_interface = graph.is_output(output) && (graph.value(output).shape || !graph.value(output).rest.bytes.empty());
      if (found != types.end() && !is_interface) learn(graph, output, *found->second);
    }
    for (const auto& attribute : proto.node(static_cast<int>(i)).attribute()) {
      if (attribute.has_g() && node.bodies.contains(attribute.name())) {
        take(graph, graph.node(body.nodes[i]).bodies.at(attribute.name()), attribute.g());
      }
    }
  }
}

}  // namespace

void infer_shapes(Graph& graph, bool strict) {
  onnx::ModelProto model = graph_to_proto(graph, {.largest_inline = kSmallWeight});
  // stale types of inner values would contradict what an edit changed: only the interface keeps its own
  if (!strict) model.mutable_graph()->clear_value_info();
  try {
    onnx::shape_inference::InferShapes(model, onnx::OpSchemaRegistry::Instance(),
                                       onnx::ShapeInferenceOptions{strict, strict ? 1 : 0, true});
  } catch (const std::exception& error) {
    if (!strict) return;
    throw ModelError("E1320", cat("shape inference refuses the model: ", printable(error.what(), 300)));
  }
  take(graph, graph.main(), model.graph());
}

}  // namespace niwaki
