#include "passes/quantize/quantize_dynamic.h"

#include "compress/graph_edit.h"
#include "compress/linear_view.h"
#include "compress/onnx/raise_opset.h"
#include "passes/quantize/affine.h"

#include <algorithm>
#include <array>
#include <map>

namespace niwaki {
namespace {

constexpr int64_t kOpset = 11;               // DynamicQuantizeLinear
constexpr int64_t kMost = 127, kMostReduced = 64;   // reduced: pairs of products fit the 16-bit sums of older x86
constexpr int kSteps = 24;                   // hundredths of the range that clipping may cut
constexpr int64_t kNodeBytes = 200;          // of the nodes that a product becomes
constexpr double kLeastSqnr = 10;            // dB: below it a weight stays as it is

std::string reason_of_others(const Node& node) {
  if (!is_default_domain(node.domain)) return "";
  if (node.op == "Conv") {
    return "integer convolutions with uint8 activations and int8 weights are slower than float; static or store_weights takes it";
  }
  if (node.op == "ConvTranspose") return "no integer kernel; store_weights takes it";
  const bool is_recurrent = node.op == "LSTM" || node.op == "GRU" || node.op == "RNN";
  return is_recurrent ? cat("no standard operator runs ", node.op, " in integers; store_weights takes it") : "";
}

/// Why a product stays float, or "".
std::string obstacle(const Graph& graph, const LinearView& view) {
  const Node& node = graph.node(view.node);
  const Constant* weight = fixed_constant(graph, view.weight);
  if (weight == nullptr) return "a caller may set its weight";
  if (weight->dtype != DType::float32) return cat("its weight is ", name_of(weight->dtype), "; store_weights takes it");
  if (view.weight_index != 1) return "its weight is the left factor";
  if (weight->sizes.size() != 2) return "its weight is not 2-D";
  if (view.kind == LinearKind::gemm) {
    if (int_attribute(node, "transA", 0) != 0) return "its input is transposed";
    if (float_attribute(node, "alpha", 1) != 1) return "alpha is not 1";
    if (input_or_absent(node, 2) != ValueId::absent && float_attribute(node, "beta", 1) != 1) return "beta is not 1";
  }
  if (is_interface(graph, view.weight)) return "its weight is an output of the model";
  const int64_t outputs = weight->sizes[static_cast<size_t>(view.channel_axis)];
  if (element_count(*weight) + 4 * outputs + kNodeBytes >= byte_size(*weight)) return "its weight would not be smaller";
  return at::isfinite(values(*weight)).all().item<bool>() ? "" : "its weight has numbers that are not finite";
}

std::vector<LinearView> products_of(const Graph& graph, PassContext& context) {
  std::vector<LinearView> views;
  for (const NodeId id : graph.main().nodes) {
    const Node& node = graph.node(id);
    std::string reason = reason_of_others(node);
    const bool is_product = is_default_domain(node.domain) && (node.op == "MatMul" || node.op == "Gemm");
    if (reason.empty() && !is_product) continue;
    const auto view = is_product ? linear_view(graph, id) : std::nullopt;
    if (!is_selected(graph, id, context.keep, context.only)) reason = "kept by the caller";
    if (reason.empty()) reason = view ? obstacle(graph, *view) : "weight is computed at run time";
    if (reason.empty()) views.push_back(*view);
    else context.report.skip(graph.label(id), reason);
  }
  return views;
}

/// Why one of the products that share a weight stays float, or "".
std::string sharing_obstacle(const Graph& graph, const LinearView& view, const std::vector<LinearView>& views) {
  for (const NodeId consumer : graph.consumers(view.weight)) {
    const auto found = std::find_if(views.begin(), views.end(), [&](const LinearView& one) { return one.node == consumer; });
    if (found == views.end()) return cat("its weight is also read by '", printable(graph.label(consumer)), "', which stays float");
    if (found->channel_axis != view.channel_axis) return "its readers need scales along different axes of their weight";
  }
  return "";
}

class Quantizer {
 public:
  Quantizer(Graph& graph, Target target, PassContext& context)
      : graph_(graph), most_(target == Target::onnxruntime_cpu_novnni ? kMostReduced : kMost), context_(context) {}
  void quantize(const LinearView& view);

 private:
  struct Weight { ValueId codes, scale; double sqnr; };
  struct Codes { ValueId codes, scale, zero_point; };
  std::optional<Weight> weight_of(const LinearView& view);
  Codes codes_of(ValueId input, NodeId reader);
  ValueId value(const std::string& name, DType dtype, const std::optional<Shape>& shape) {
    return graph_.add_value({.name = graph_.fresh_name(name), .dtype = dtype, .shape = shape});
  }

  Graph& graph_;
  int64_t most_;
  PassContext& context_;
  std::map<ValueId, Weight> weights_;
  std::map<ValueId, Codes> inputs_;
};

std::optional<Quantizer::Weight> Quantizer::weight_of(const LinearView& view) {
  if (const auto known = weights_.find(view.weight); known != weights_.end()) return known->second;
  const Tensor rows = weight_rows(view, values(*graph_.constant(view.weight))).contiguous();
  const Tensor scale = least_squares_scale(rows, -most_, most_, kSteps).unsqueeze(1);
  const Tensor codes = at::round(rows / scale).clamp(-most_, most_);
  const double sqnr = sqnr_db(rows, codes * scale);
  if (sqnr < kLeastSqnr) {
    context_.report.skip(graph_.label(view.node), cat("its weight would have a sqnr_db of ", sqnr, ", less than ", kLeastSqnr));
    return std::nullopt;
  }
  const std::string label = graph_.label(view.node);
  const auto written = [&](const char* role, const Tensor& numbers) { return new_constant(graph_, cat(label, role), make_constant(numbers.contiguous())); };
  const Weight made{written(".weight_quantized", codes.t().to(at::kChar)), written(".weight_scale", scale.reshape({-1})), sqnr};
  return weights_.emplace(view.weight, made).first->second;
}

Quantizer::Codes Quantizer::codes_of(ValueId input, NodeId reader) {
  if (const auto known = inputs_.find(input); known != inputs_.end()) return known->second;
  const Value x = graph_.value(input);
  const Codes made{value(cat(x.name, ".quantized"), DType::uint8, x.shape), value(cat(x.name, ".scale"), DType::float32, Shape{}),
                   value(cat(x.name, ".zero_point"), DType::uint8, Shape{})};
  graph_.insert_before(reader, {.name = cat(x.name, ".quantize"), .op = "DynamicQuantizeLinear", .inputs = {input},
                                .outputs = {made.codes, made.scale, made.zero_point}});
  return inputs_.emplace(input, made).first->second;
}

void Quantizer::quantize(const LinearView& view) {
  const auto weight = weight_of(view);
  if (!weight) return;
  const std::string label = graph_.label(view.node);
  const Codes x = codes_of(view.input, view.node);
  const ValueId output = view.output;
  const ValueId bias = view.kind == LinearKind::gemm ? input_or_absent(graph_.node(view.node), 2) : ValueId::absent;
  const std::optional<Shape> shape = graph_.value(output).shape;
  const ValueId sums = value(cat(label, ".sums"), DType::int32, shape), numbers = value(cat(label, ".float"), DType::float32, shape);
  const ValueId factor = value(cat(label, ".scale"), DType::float32, Shape{graph_.constant(weight->scale)->sizes[0]});
  const ValueId product = bias == ValueId::absent ? output : value(cat(label, ".product"), DType::float32, shape);
  graph_.set_outputs(view.node, {sums});
  graph_.set_inputs(view.node, {x.codes, weight->codes, x.zero_point});
  for (const char* name : {"alpha", "beta", "transA", "transB"}) graph_.remove_attribute(view.node, name);
  graph_.set_operator(view.node, "MatMulInteger", graph_.node(view.node).domain);
  NodeId last = view.node;
  const auto append = [&](const char* role, const char* op, std::vector<ValueId> inputs, ValueId made) {
    last = graph_.insert_after(last, {.name = cat(label, role), .op = op, .inputs = std::move(inputs), .outputs = {made}});
  };
  append(".cast", "Cast", {sums}, numbers);
  graph_.set_attribute(last, "to", static_cast<int64_t>(DType::float32));
  append(".factor", "Mul", {x.scale, weight->scale}, factor);
  append(".rescale", "Mul", {numbers, factor}, product);
  if (bias != ValueId::absent) append(".add_bias", "Add", {product, bias}, output);
  remove_unused_constant(graph_, view.weight);
  context_.report.change(label, {{"sqnr_db", weight->sqnr}});
}

}  // namespace

void quantize_dynamic(Graph& graph, const QuantizeDynamicOptions& options, PassContext& context) {
  std::vector<LinearView> views = products_of(graph, context);
  if (!views.empty() && graph.opset() < kOpset) {
    context.report.changes.emplace_back("opset", cat("raised from ", graph.opset(), " to ", kOpset, ", the first with scales found in each run"));
    raise_opset(graph, kOpset);
    context.report.nodes.clear();
    views = products_of(graph, context);     // the converter numbers nodes and values anew
  }
  std::vector<LinearView> wanted;
  for (const LinearView& view : views) {
    const std::string reason = sharing_obstacle(graph, view, views);
    if (reason.empty()) wanted.push_back(view);
    else context.report.skip(graph.label(view.node), reason);
  }
  Quantizer quantizer(graph, options.target, context);
  context.progress.start("quantize products", static_cast<int64_t>(wanted.size()));
  for (const LinearView& view : wanted) {
    quantizer.quantize(view);
    context.progress.advance();
  }
}

}  // namespace niwaki
