#include "passes/quantize/quantize_weights.h"

#include "compress/graph_edit.h"
#include "compress/linear_view.h"
#include "compress/onnx/raise_opset.h"
#include "compress/packing.h"
#include "passes/quantize/affine.h"
#include "passes/quantize/block_codes.h"

#include <algorithm>
#include <array>
#include <map>

namespace niwaki {
namespace {

constexpr std::array kBlockSizes = {16, 32, 64, 128, 256};   // others fail in the runtime, or give wrong numbers silently
constexpr int64_t kLeast8 = 65536;           // weights: below it the 8-bit kernel is slower than float
constexpr double kLeastSqnr = 10;            // dB: below it a weight stays as it is
constexpr int64_t kOpsetInt4 = 21;
constexpr const char* kContrib = "com.microsoft";

/// The options with what depends on the bits filled in.
struct Form {
  int bits, block_size, accuracy_level;
  bool symmetric, generic;
};

Form form_of(const QuantizeWeightsOptions& options) {
  const bool is_wide = options.bits == 8;
  return {options.bits, options.block_size.value_or(is_wide ? 128 : 32), options.accuracy_level.value_or(is_wide ? 4 : 0),
          options.symmetric.value_or(is_wide), options.target == Target::generic};
}

/// A node that can read its weight in blocks along the axis that is not `channel_axis`.
struct Reader {
  NodeId node;
  size_t index = 0;                          // of the weight among the inputs
  int64_t channel_axis = 0;
  bool is_table = false;
};

bool is_left_to_store(const Node& node) {
  constexpr std::array kOps = {"Conv", "ConvTranspose", "LSTM", "GRU", "RNN"};
  return is_default_domain(node.domain) && std::find(kOps.begin(), kOps.end(), node.op) != kOps.end();
}

bool is_weight_reader(const Graph& graph, const Node& node) {
  if (!is_default_domain(node.domain)) return false;
  if (node.op == "MatMul" || node.op == "Gemm") return true;
  const Constant* table = node.op == "Gather" ? graph.constant(node.inputs[0]) : nullptr;
  return table && is_float(table->dtype) && table->sizes.size() >= 2;
}

/// Why a Gemm cannot become a product with a bias, or "".
std::string gemm_obstacle(const Graph& graph, const Node& node, const LinearView& view, bool generic) {
  if (int_attribute(node, "transA", 0) != 0) return "its input is transposed";
  if (generic) return "";
  if (float_attribute(node, "alpha", 1) != 1) return "alpha is not 1";
  const ValueId bias = input_or_absent(node, 2);
  if (bias == ValueId::absent) return "";
  if (float_attribute(node, "beta", 1) != 1) return "beta is not 1";
  if (fixed_constant(graph, bias) == nullptr) return "its bias is computed at run time";
  const auto& sizes = graph.constant(bias)->sizes;
  const int64_t outputs = graph.constant(view.weight)->sizes[static_cast<size_t>(view.channel_axis)];
  const bool is_row = !sizes.empty() && sizes.back() == outputs && element_count(*graph.constant(bias)) == outputs;
  return is_row ? "" : "its bias is not one number per output";
}

/// The weight's place in a node, or why it has none.
std::string place_of(const Graph& graph, NodeId id, bool generic, Reader& reader) {
  const Node& node = graph.node(id);
  reader.node = id;
  if (node.op == "Gather") {
    if (generic) return "a table behind DequantizeLinear is expanded on every run; store_weights takes it";
    if (int_attribute(node, "axis", 0) != 0) return "it does not gather rows";
    if (graph.constant(node.inputs[0])->sizes.size() != 2) return "its table is not 2-D";
    if (graph.constant(node.inputs[0])->sizes[1] % 2 != 0) return "rows of its table have an odd number of weights";
    reader.is_table = true;
    return "";
  }
  const auto view = linear_view(graph, id);
  if (!view) return "weight is computed at run time";
  reader.index = view->weight_index;
  reader.channel_axis = view->channel_axis;
  if (view->weight_index != 1) return "its weight is the left factor";
  if (graph.constant(view->weight)->sizes.size() != 2) return "its weight is not 2-D";
  return view->kind == LinearKind::gemm ? gemm_obstacle(graph, node, *view, generic) : "";
}

/// Why this weight must stay float, or "".
std::string weight_obstacle(const Graph& graph, ValueId weight, const Form& form) {
  const Constant* constant = fixed_constant(graph, weight);
  if (constant == nullptr) return "a caller may set its weight";
  if (constant->dtype != DType::float32) return cat("its weight is ", name_of(constant->dtype), "; store_weights takes it");
  if (element_count(*constant) == 0) return "its weight is empty";
  if (form.bits == 8 && element_count(*constant) < kLeast8) {
    return cat("the 8-bit kernel is slower than float below ", kLeast8, " weights; store_weights takes it");
  }
  if (is_interface(graph, weight)) return "its weight is an output of the model";
  return at::isfinite(values(*constant)).all().item<bool>() ? "" : "its weight has numbers that are not finite";
}

/// The readers of each weight, in the order of the first ones.
using Groups = std::vector<std::pair<ValueId, std::vector<Reader>>>;

Groups groups_of(const Graph& graph, const Form& form, PassContext& context) {
  Groups groups;
  for (const NodeId id : graph.main().nodes) {
    const Node& node = graph.node(id);
    if (is_left_to_store(node)) {
      context.report.skip(graph.label(id), cat(node.op, " on stored integers is slower than float; store_weights takes it"));
    }
    if (!is_weight_reader(graph, node)) continue;
    Reader reader;
    const bool is_wanted = is_selected(graph, id, context.keep, context.only);
    std::string reason = is_wanted ? place_of(graph, id, form.generic, reader) : "kept by the caller";
    const ValueId weight = reason.empty() ? node.inputs[reader.index] : ValueId::absent;
    if (reason.empty()) reason = weight_obstacle(graph, weight, form);
    if (!reason.empty()) {
      context.report.skip(graph.label(id), reason);
      continue;
    }
    auto found = std::find_if(groups.begin(), groups.end(), [&](const auto& group) { return group.first == weight; });
    if (found == groups.end()) found = groups.insert(groups.end(), {weight, {}});
    found->second.push_back(reader);
  }
  return groups;
}

/// Why the readers of a weight cannot share its codes, or "".
std::string sharing_obstacle(const Graph& graph, ValueId weight, const std::vector<Reader>& readers) {
  for (const NodeId consumer : graph.consumers(weight)) {
    const bool is_known = std::any_of(readers.begin(), readers.end(), [&](const Reader& one) { return one.node == consumer; });
    if (!is_known) return cat("its weight is also read by '", printable(graph.label(consumer)), "', which stays float");
  }
  const bool agrees = std::all_of(readers.begin(), readers.end(),
                                  [&](const Reader& one) { return one.channel_axis == readers[0].channel_axis; });
  return agrees ? "" : "its readers need blocks along different axes of their weight";
}

Tensor packed_rows(Tensor codes, int bits) {
  if (bits == 8) return codes;
  if (codes.size(1) % 2 != 0) codes = at::constant_pad_nd(codes, {0, 1});
  return pack(codes.reshape({-1}), DType::uint4).reshape({codes.size(0), -1});
}

/// Writes one weight's codes and lets its readers read them.
class Writer {
 public:
  Writer(Graph& graph, const Form& form, BlockCodes blocks, int64_t inputs, std::string name)
      : graph_(graph), form_(form), blocks_(std::move(blocks)), inputs_(inputs), name_(std::move(name)) {}

  /// Bytes of codes, scales and zero points.
  int64_t bytes() const {
    const int64_t codes = blocks_.codes.numel() * form_.bits / 8, scales = blocks_.scale.numel();
    return codes + scales * 4 + (form_.symmetric ? 0 : (scales * form_.bits + 7) / 8);
  }
  void write(const Reader& reader) {
    if (form_.generic) return write_generic(reader.node);
    reader.is_table ? write_table(reader.node) : write_product(reader.node);
  }

 private:
  ValueId constant(ValueId& known, const char* role, const Tensor& numbers, DType dtype = DType::undefined) {
    if (known == ValueId::absent) known = new_constant(graph_, cat(name_, ".", role), make_constant(numbers.contiguous(), dtype));
    return known;
  }
  ValueId scale() { return constant(scale_, "weight_scale", blocks_.scale); }
  ValueId zero_point() {
    return form_.symmetric ? ValueId::absent : constant(zero_point_, "weight_zero_point", packed_rows(blocks_.zero_point, form_.bits));
  }
  void write_table(NodeId id);
  void write_product(NodeId id);
  void write_generic(NodeId id);
  std::vector<ValueId> product_inputs(NodeId id);

  Graph& graph_;
  const Form& form_;
  BlockCodes blocks_;
  int64_t inputs_;
  std::string name_;
  ValueId table_ = ValueId::absent, product_ = ValueId::absent, scale_ = ValueId::absent, zero_point_ = ValueId::absent;
};

void Writer::write_table(NodeId id) {
  const Tensor codes = blocks_.codes.narrow(1, 0, inputs_).contiguous();
  std::vector<ValueId> inputs = {constant(table_, "weight_rows", packed_rows(codes, form_.bits)), graph_.node(id).inputs[1], scale()};
  if (!form_.symmetric) inputs.push_back(zero_point());
  graph_.set_inputs(id, std::move(inputs));
  graph_.set_operator(id, "GatherBlockQuantized", kContrib);
  graph_.remove_attribute(id, "axis");
  graph_.set_attribute(id, "gather_axis", int64_t{0});
  graph_.set_attribute(id, "quantize_axis", int64_t{1});
  graph_.set_attribute(id, "block_size", int64_t{form_.block_size});
  graph_.set_attribute(id, "bits", int64_t{form_.bits});
}

std::vector<ValueId> Writer::product_inputs(NodeId id) {
  const Tensor codes = packed_rows(blocks_.codes, form_.bits);
  const std::vector<int64_t> sizes = {codes.size(0), blocks_.scale.size(1), form_.block_size * form_.bits / 8};
  if (product_ == ValueId::absent && table_ != ValueId::absent && inputs_ % form_.block_size == 0) {
    // the same bytes in another shape: the runtime reshapes them once, when it loads the model
    const ValueId shape = new_constant(graph_, cat(name_, ".weight_shape"), make_constant(at::tensor(sizes, at::kLong)));
    product_ = graph_.add_value({.name = graph_.fresh_name(cat(name_, ".weight_quantized"))});
    Node reshape{.name = cat(name_, ".reshape_weight"), .op = "Reshape", .inputs = {table_, shape}, .outputs = {product_}};
    graph_.insert_before(graph_.main().nodes.front(), std::move(reshape));
  }
  std::vector<ValueId> inputs = {graph_.node(id).inputs[0], constant(product_, "weight_quantized", codes.reshape(sizes)), scale(), zero_point()};
  const ValueId bias = input_or_absent(graph_.node(id), 2);
  if (bias == ValueId::absent) {
    if (form_.symmetric) inputs.pop_back();
    return inputs;
  }
  const Constant& numbers = *graph_.constant(bias);
  ValueId row = bias;
  if (numbers.sizes.size() != 1) row = new_constant(graph_, cat(name_, ".bias"), make_constant(values(numbers).reshape({-1})));
  inputs.insert(inputs.end(), {ValueId::absent, row});
  return inputs;
}

void Writer::write_product(NodeId id) {
  const ValueId bias = input_or_absent(graph_.node(id), 2);
  graph_.set_inputs(id, product_inputs(id));
  if (bias != ValueId::absent) remove_unused_constant(graph_, bias);
  for (const char* name : {"alpha", "beta", "transA", "transB"}) graph_.remove_attribute(id, name);
  graph_.set_operator(id, "MatMulNBits", kContrib);
  graph_.set_attribute(id, "K", inputs_);
  graph_.set_attribute(id, "N", blocks_.codes.size(0));
  graph_.set_attribute(id, "bits", int64_t{form_.bits});
  graph_.set_attribute(id, "block_size", int64_t{form_.block_size});
  graph_.set_attribute(id, "accuracy_level", int64_t{form_.accuracy_level});
}

void Writer::write_generic(NodeId id) {
  // [inputs, outputs] with blocks down the inputs: runtimes fuse only this with the product, and one expansion per reader
  const int64_t middle = form_.symmetric ? int64_t{1} << (form_.bits - 1) : 0;
  const DType signed_type = form_.bits == 4 ? DType::int4 : DType::int8, unsigned_type = form_.bits == 4 ? DType::uint4 : DType::uint8;
  const DType dtype = form_.symmetric ? signed_type : unsigned_type;
  const auto typed = [&](const Tensor& codes) {
    return (codes.to(at::kShort) - middle).to(form_.symmetric ? at::kChar : at::kByte).t().contiguous();
  };
  const ValueId codes = constant(product_, "weight_quantized", typed(blocks_.codes.narrow(1, 0, inputs_)), dtype);
  std::vector<ValueId> inputs = {codes, constant(scale_, "weight_scale", blocks_.scale.t())};
  if (!form_.symmetric) inputs.push_back(constant(zero_point_, "weight_zero_point", typed(blocks_.zero_point), dtype));
  const std::string label = graph_.label(id);
  const Shape shape = {inputs_, blocks_.codes.size(0)};
  const ValueId weight = graph_.add_value({.name = graph_.fresh_name(cat(label, ".weight")), .dtype = DType::float32, .shape = shape});
  graph_.insert_before(id, {.name = cat(label, ".expand_weight"), .op = "DequantizeLinear", .inputs = std::move(inputs), .outputs = {weight},
                            .attributes = {{"axis", int64_t{0}}, {"block_size", int64_t{form_.block_size}}}});
  graph_.set_input(id, 1, weight);
  if (has_attribute(graph_.node(id), "transB")) graph_.remove_attribute(id, "transB");
}

/// Quantizes one weight for all its readers; false where it stays, with the reasons in the report.
bool quantize_group(Graph& graph, ValueId weight, const std::vector<Reader>& readers, const Form& form, PassContext& context) {
  const auto skip = [&](const std::string& reason) {
    for (const Reader& reader : readers) context.report.skip(graph.label(reader.node), reason);
    return false;
  };
  if (const std::string reason = sharing_obstacle(graph, weight, readers); !reason.empty()) return skip(reason);
  const Tensor numbers = values(*graph.constant(weight)), rows = (readers[0].channel_axis == 0 ? numbers : numbers.t()).contiguous();
  BlockCodes blocks = quantize_blocks(rows, form.bits, form.block_size, form.symmetric);
  const double sqnr = sqnr_db(rows, dequantize_blocks(blocks, rows.size(1)));
  if (sqnr < kLeastSqnr) return skip(cat("its weight would have a sqnr_db of ", sqnr, ", less than ", kLeastSqnr));
  Writer writer(graph, form, std::move(blocks), rows.size(1), graph.label(readers[0].node));
  if (writer.bytes() >= byte_size(*graph.constant(weight))) return skip("its weight would not be smaller");
  const double width = 8.0 * static_cast<double>(writer.bytes()) / static_cast<double>(rows.numel());
  for (const Reader& reader : readers) context.report.change(graph.label(reader.node), {{"sqnr_db", sqnr}, {"bits_per_weight", width}});
  // tables first: a product can share their bytes
  for (const bool is_table : {true, false}) {
    for (const Reader& reader : readers) {
      if (reader.is_table == is_table) writer.write(reader);
    }
  }
  remove_unused_constant(graph, weight);
  return true;
}

}  // namespace

void QuantizeWeightsOptions::validate() const {
  if (bits != 4 && bits != 8) throw UsageError("E2008", cat("option 'bits' is ", bits, "; needed 4 or 8"));
  if (block_size && std::find(kBlockSizes.begin(), kBlockSizes.end(), *block_size) == kBlockSizes.end()) {
    throw UsageError("E2008", cat("option 'block_size' is ", *block_size, "; needed 16, 32, 64, 128 or 256"));
  }
  if (accuracy_level && *accuracy_level != 0 && *accuracy_level != 4) {
    throw UsageError("E2008", cat("option 'accuracy_level' is ", *accuracy_level, "; needed 0 or 4"));
  }
}

void quantize_weights(Graph& graph, const QuantizeWeightsOptions& options, PassContext& context) {
  const Form form = form_of(options);
  Groups groups = groups_of(graph, form, context);
  if (form.generic && !groups.empty() && graph.opset() < kOpsetInt4) {
    context.report.changes.emplace_back("opset", cat("raised from ", graph.opset(), " to ", kOpsetInt4, ", the first with scales of blocks"));
    raise_opset(graph, kOpsetInt4);
    context.report.nodes.clear();
    groups = groups_of(graph, form, context);   // the converter numbers nodes and values anew
  }
  context.progress.start("quantize weights", static_cast<int64_t>(groups.size()));
  bool is_changed = false;
  for (const auto& [weight, readers] : groups) {
    is_changed = quantize_group(graph, weight, readers, form, context) || is_changed;
    context.progress.advance();
  }
  if (is_changed && !form.generic && graph.opset(kContrib) == 0) {
    graph.header().opsets[kContrib] = 1;
    graph.header().opset_order.emplace_back(kContrib);
    graph.touch();
  }
}

}  // namespace niwaki
