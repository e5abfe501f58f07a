#include "compress/train/trainable.h"

#include "compress/error.h"

#include <algorithm>

namespace niwaki {
namespace {

using Names = std::set<std::string>;

const Names& cutting_ops() {
  static const Names names = {
      "And", "ArgMax", "ArgMin", "Bernoulli", "BitCast", "BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "Ceil",
      "ConstantOfShape", "ConvInteger", "DynamicQuantizeLinear", "DynamicQuantizeMatMul", "Equal", "EyeLike", "Floor", "Greater",
      "GreaterOrEqual", "Hardmax", "IsInf", "IsNaN", "Less", "LessOrEqual", "MatMulInteger", "MatMulIntegerToFloat", "Multinomial",
      "NonMaxSuppression", "NonZero", "Not", "OneHot", "Or", "QLinearAdd", "QLinearAveragePool", "QLinearConcat", "QLinearConv",
      "QLinearGlobalAveragePool", "QLinearLeakyRelu", "QLinearMatMul", "QLinearMul", "QLinearSigmoid", "QLinearSoftmax",
      "RandomNormalLike", "RandomUniformLike", "Range", "Round", "Shape", "Sign", "Size", "Xor"};
  return names;
}

/// Inputs of an operator that hold weights, where they are constants.
const std::map<std::string, std::vector<size_t>>& weight_inputs() {
  static const std::map<std::string, std::vector<size_t>> inputs = {
      {"Add", {0, 1}}, {"Attention", {1, 2}}, {"BatchNormalization", {1, 2}}, {"BiasGelu", {1}}, {"BiasSplitGelu", {1}},
      {"Conv", {1, 2}}, {"ConvTranspose", {1, 2}}, {"DeformConv", {1, 3}}, {"Einsum", {0, 1, 2}}, {"EmbedLayerNormalization", {2, 3, 4, 5, 6}},
      {"FastGelu", {1}}, {"FusedConv", {1, 2}}, {"FusedGemm", {0, 1, 2}}, {"FusedMatMul", {0, 1}}, {"Gather", {0}}, {"Gemm", {0, 1, 2}},
      {"GroupNormalization", {1, 2}}, {"GRU", {1, 2, 3}}, {"InstanceNormalization", {1, 2}}, {"LSTM", {1, 2, 3, 7}},
      {"LayerNormalization", {1, 2}}, {"MatMul", {0, 1}}, {"Mul", {0, 1}}, {"MultiHeadAttention", {3}}, {"PRelu", {1}}, {"RNN", {1, 2, 3}},
      {"RMSNormalization", {1}}, {"SimplifiedLayerNormalization", {1}}, {"SkipLayerNormalization", {2, 3, 4}},
      {"SkipSimplifiedLayerNormalization", {2, 3}}, {"TrainScale", {1}}};
  return inputs;
}

/// Operators behind which a constant is still a weight: other shapes, parts, and fake quantization.
const Names& carrying_ops() {
  static const Names names = {"Cast", "Concat", "DequantizeLinear", "Expand", "FakeQuantize", "FakeQuantizeBias", "Flatten", "Identity", "Pad", "QuantizeLinear",
                              "Reshape", "Slice", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze"};
  return names;
}

bool is_integer_cast(const Node& node) {
  if (node.op != "Cast") return false;
  const auto type = static_cast<DType>(int_attribute(node, "to", 1));
  return !is_float(type);
}

/// The attention of the ONNX standard has three computed inputs; that of com.microsoft has weights.
bool has_weights(const Node& node) { return weight_inputs().contains(node.op) && !(node.op == "Attention" && is_default_domain(node.domain)); }

/// What the bodies of a node read from around it counts as read by the node.
void read_values(const Graph& graph, const Node& node, std::set<ValueId>& values) {
  values.insert(node.inputs.begin(), node.inputs.end());
  for (const auto& [name, body] : node.bodies) {
    values.insert(body.outputs.begin(), body.outputs.end());
    for (const NodeId id : body.nodes) read_values(graph, graph.node(id), values);
  }
}

std::set<ValueId> reaching_values(const Graph& graph, const std::vector<ValueId>& wanted) {
  const std::vector<ValueId>& ends = wanted.empty() ? graph.main().outputs : wanted;
  std::set<ValueId> live(ends.begin(), ends.end());
  const auto& order = graph.main().nodes;
  for (auto id = order.rbegin(); id != order.rend(); ++id) {
    const Node& node = graph.node(*id);
    if (cuts_gradient(node)) continue;
    if (std::none_of(node.outputs.begin(), node.outputs.end(), [&](ValueId output) { return live.contains(output); })) continue;
    read_values(graph, node, live);
  }
  return live;
}

class Finder {
 public:
  Finder(const Graph& graph, std::set<ValueId> live) : graph_(graph), live_(std::move(live)) {}

  void look(NodeId id) {
    const Node& node = graph_.node(id);
    if (!has_weights(node)) return;
    const bool is_elementwise = node.op == "Add" || node.op == "Mul";
    for (const size_t i : weight_inputs().at(node.op)) {
      if (i < node.inputs.size()) follow(node.inputs[i], is_elementwise ? 2 : 1);
    }
  }
  const std::set<ValueId>& found() const { return found_; }

 private:
  void follow(ValueId id, int64_t least) {
    if (id == ValueId::absent || !live_.contains(id)) return;
    if (const Constant* constant = graph_.constant(id)) {
      const bool is_weight = constant->dtype == DType::float32 && !constant->sizes.empty() && element_count(*constant) >= least;
      if (is_weight) found_.insert(id);
      return;
    }
    const auto producer = graph_.producer(id);
    if (!producer) return;
    const Node& node = graph_.node(*producer);
    if (!carrying_ops().contains(node.op)) return;
    const size_t count = node.op == "Concat" ? node.inputs.size() : std::min<size_t>(node.inputs.size(), 1);
    for (size_t i = 0; i < count; ++i) follow(node.inputs[i], least);
  }

  const Graph& graph_;
  std::set<ValueId> live_, found_;
};

}  // namespace

bool cuts_gradient(const Node& node) { return cutting_ops().contains(node.op) || is_integer_cast(node); }

std::set<ValueId> trainable_constants(const Graph& graph, const std::vector<ValueId>& wanted, const std::function<bool(NodeId)>& is_selected) {
  Finder finder(graph, reaching_values(graph, wanted));
  for (const NodeId id : graph.all_nodes()) finder.look(id);
  std::set<ValueId> chosen;
  for (const ValueId id : finder.found()) {
    const auto consumers = graph.consumers(id);
    const bool is_free = !is_selected || std::all_of(consumers.begin(), consumers.end(), is_selected);
    if (is_free) chosen.insert(id);
  }
  return chosen;
}

std::vector<std::string> gradient_cuts(const Graph& graph, const std::set<ValueId>& trainable) {
  std::set<ValueId> carrying = trainable;
  std::vector<std::string> cuts;
  for (const NodeId id : graph.all_nodes()) {
    const Node& node = graph.node(id);
    std::set<ValueId> read;
    read_values(graph, node, read);
    if (std::none_of(read.begin(), read.end(), [&](ValueId input) { return carrying.contains(input); })) continue;
    if (!cuts_gradient(node)) {
      carrying.insert(node.outputs.begin(), node.outputs.end());
      if (node.op == "TopK" && node.outputs.size() > 1) carrying.erase(node.outputs[1]);
    } else if (node.op != "Shape" && node.op != "Size") {     // their results do not depend on the numbers
      cuts.push_back(cat(graph.label(id), " (", node.op, ")"));
    }
  }
  return cuts;
}

void refuse_training(const Graph& graph, const std::set<ValueId>& trainable) {
  std::set<ValueId> numbers = trainable;
  for (uint32_t i = 1; trainable.empty() && i < graph.num_values(); ++i) {
    const Constant* constant = graph.constant(static_cast<ValueId>(i));
    if (constant != nullptr && constant->dtype == DType::float32) numbers.insert(static_cast<ValueId>(i));
  }
  const std::vector<std::string> cuts = gradient_cuts(graph, numbers);
  std::string names;
  for (size_t i = 0; i < cuts.size() && i < 5; ++i) names += cat(i > 0 ? ", " : "", printable(cuts[i], 80));
  throw UnsupportedError("E3320", "no trainable constant reaches the loss",
                         {.found = cuts.empty() ? cat(trainable.size(), " trainable constants") : cat("no gradient comes through ", names),
                          .help = "train a model whose outputs follow from its weights by differentiable operators"});
}

}  // namespace niwaki
