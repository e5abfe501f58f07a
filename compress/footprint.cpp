#include "compress/footprint.h"

#include "compress/onnx/proto.h"

#include <onnx/onnx_pb.h>

namespace niwaki {
namespace {

constexpr int64_t kCounted = 1024;           // larger payloads are counted instead of copied

bool feeds_scale_input(const Graph& graph, ValueId id) {
  for (const NodeId reader : graph.consumers(id)) {
    const Node& node = graph.node(reader);
    const bool is_pair = node.op == "QuantizeLinear" || node.op == "DequantizeLinear";
    if (is_pair && !node.inputs.empty() && node.inputs[0] != id) return true;
  }
  return false;
}

int64_t string_bytes(const Graph& graph) {
  int64_t bytes = 0;
  for (size_t i = 1; i < graph.num_values(); ++i) {
    const auto id = static_cast<ValueId>(i);
    const auto uses = static_cast<int64_t>(graph.consumers(id).size() + (graph.producer(id) ? 1 : 0) + (graph.constant(id) ? 1 : 0));
    bytes += uses * static_cast<int64_t>(graph.value(id).name.size());
  }
  for (const NodeId id : graph.all_nodes()) bytes += static_cast<int64_t>(graph.node(id).name.size());
  return bytes;
}

}  // namespace

int64_t serialized_bytes(const Graph& graph) {
  int64_t left_out = 0;
  const onnx::ModelProto model = graph_to_proto(graph, {.largest_inline = kCounted, .left_behind = [&](ValueId, const Constant& constant, onnx::TensorProto&) {
                                                          left_out += byte_size(constant) + 4;
                                                        }});
  return static_cast<int64_t>(model.ByteSizeLong()) + left_out;
}

std::string serialized(const Graph& graph) { return graph_to_proto(graph).SerializeAsString(); }

Footprint measure_footprint(const Graph& graph) {
  Footprint footprint{.total_bytes = serialized_bytes(graph)};
  for (size_t i = 1; i < graph.num_values(); ++i) {
    const auto id = static_cast<ValueId>(i);
    const Constant* constant = graph.constant(id);
    if (!constant) continue;
    (feeds_scale_input(graph, id) ? footprint.scale_bytes : footprint.weight_bytes) += byte_size(*constant);
    if (!constant->strings && element_count(*constant) > 1) footprint.num_weights += element_count(*constant);
  }
  const ModelHeader& header = graph.header();
  for (const auto& [key, value] : header.metadata) footprint.metadata_bytes += static_cast<int64_t>(key.size() + value.size());
  footprint.metadata_bytes += static_cast<int64_t>(header.doc.size() + header.producer_name.size() + header.producer_version.size());
  footprint.string_bytes = string_bytes(graph);
  footprint.graph_bytes = std::max<int64_t>(0, footprint.total_bytes - footprint.weight_bytes - footprint.scale_bytes -
                                                   footprint.metadata_bytes - footprint.string_bytes);
  return footprint;
}

Json to_json(const Footprint& footprint) {
  return {{"weights", footprint.weight_bytes},
          {"scales", footprint.scale_bytes},
          {"graph", footprint.graph_bytes},
          {"strings", footprint.string_bytes},
          {"metadata", footprint.metadata_bytes}};
}

}  // namespace niwaki
