#pragma once

#include "compress/graph.h"

#include <functional>

namespace onnx {
class ModelProto;
class TensorProto;
}  // namespace onnx

namespace niwaki {

/// Gives the bytes of a tensor that lies outside the message (external data); null where none may.
using ExternalTensor = std::function<Tensor(const onnx::TensorProto& proto, DType dtype, int64_t bytes)>;

/// Takes the message apart (payloads are moved, not copied) into a Graph; unsorted nodes are sorted.
/// Throws the E11xx and E13xx errors of safety.md 4.2 and 4.3. `notes` gets warnings such as W1106.
Graph graph_from_proto(onnx::ModelProto&& model, const ExternalTensor& external, Strings* notes = nullptr);

struct ProtoOptions {
  /// Constants of more payload bytes than this become `left_behind`'s business; -1: all are inside.
  int64_t largest_inline = -1;
  /// Called for each constant that is too large; fills in where its data is (external_data, or nothing for a skeleton).
  std::function<void(ValueId, const Constant&, onnx::TensorProto&)> left_behind;
};
/// The message of a Graph; what the Graph took from a message comes out field by field equal.
onnx::ModelProto graph_to_proto(const Graph& graph, const ProtoOptions& options = {});

void constant_to_proto(const Constant& constant, const std::string& name, onnx::TensorProto& proto);
Constant constant_from_proto(onnx::TensorProto&& proto, const ExternalTensor& external);

}  // namespace niwaki
