#include "passes/train/quantized_twin.h"

#include "compress/error.h"
#include "compress/graph_edit.h"
#include "compress/linear_view.h"
#include "compress/ops/fake_quantize.h"

#include <algorithm>

namespace niwaki {
namespace {

constexpr const char* kContrib = "com.microsoft";
constexpr double kRoom = 2147483647.0, kMargin = 1.0001;

bool is_op(const Node& node, const char* op, const char* domain = "") {
  return node.op == op && (is_default_domain(node.domain) ? std::string() : node.domain) == domain;
}

/// The constant that a value is, or is a Cast of.
ValueId behind_cast(const Graph& graph, ValueId id) {
  const auto producer = graph.constant(id) == nullptr ? graph.producer(id) : std::nullopt;
  return producer && is_op(graph.node(*producer), "Cast") ? graph.node(*producer).inputs[0] : id;
}

/// The constant that a value is, or has the bytes of.
ValueId behind_reshape(const Graph& graph, ValueId id) {
  const auto producer = graph.constant(id) == nullptr ? graph.producer(id) : std::nullopt;
  return producer && is_op(graph.node(*producer), "Reshape") ? graph.node(*producer).inputs[0] : id;
}

RunValue run_of(const Constant& constant) { return {values(constant), constant.dtype}; }

std::string without(const std::string& name, const std::string& suffix) {
  return name.ends_with(suffix) ? name.substr(0, name.size() - suffix.size()) : name;
}

/// Integers whose range is symmetric, but for blocks.
std::pair<int64_t, int64_t> range_of(DType dtype, bool has_blocks, int64_t most8) {
  switch (dtype) {
    case DType::uint4: return {0, 15};
    case DType::uint8: return {0, 255};
    case DType::int4: return {has_blocks ? -8 : -7, 7};
    default: return {has_blocks ? -128 : -most8, has_blocks ? 127 : most8};
  }
}

}  // namespace

QuantizedTwin::QuantizedTwin(const Graph& emitted, const Graph& floats, int bits, int64_t most8)
    : floats_(floats), twin_(emitted), bits_(bits), most8_(most8) {
  take_activations();
  const std::vector<NodeId> order = twin_.main().nodes;
  for (const NodeId id : order) {
    const Node node = twin_.node(id);
    if (is_op(node, "DequantizeLinear")) take_weight(id);
    else if (is_op(node, "Mul")) take_stored(id);
    else if (is_op(node, "MatMulNBits", kContrib)) take_product(id);
    else if (is_op(node, "GatherBlockQuantized", kContrib)) take_table(id);
  }
  for (const NodeId id : order) {
    if (is_op(twin_.node(id), "DequantizeLinear")) take_bias(id);
  }
}

ValueId QuantizedTwin::scale_of(ValueId constant) {
  const auto known = scales_.find(constant);
  if (known != scales_.end()) return known->second;
  const Constant numbers = *twin_.constant(constant);
  const std::string name = twin_.value(constant).name;
  const ValueId logarithm = twin_.add_constant(name + ".log", make_constant(at::zeros({element_count(numbers)})));
  const ValueId scale = twin_.add_value({.name = twin_.fresh_name(name + ".trained"), .dtype = DType::float32});
  Node node{.op = "TrainScale", .domain = kTrainDomain, .inputs = {constant, logarithm}, .outputs = {scale}};
  if (numbers.dtype == DType::float16) node.attributes["half"] = int64_t{1};
  twin_.insert_before(twin_.main().nodes.front(), std::move(node));
  scales_[constant] = scale;
  return scale;
}

/// Q and DQ of a computed value become one node.
void QuantizedTwin::take_activations() {
  const std::vector<NodeId> order = twin_.main().nodes;
  for (const NodeId id : order) {
    const Node quantize = twin_.node(id);
    if (!is_op(quantize, "QuantizeLinear") || quantize.inputs.size() < 3 || quantize.inputs[2] == ValueId::absent) continue;
    const ValueId scale = quantize.inputs[1], zero = quantize.inputs[2], codes = quantize.outputs[0];
    const bool is_fixed = twin_.constant(scale) && twin_.constant(zero) && element_count(*twin_.constant(scale)) == 1;
    if (!is_fixed || twin_.constant(quantize.inputs[0]) || twin_.is_output(codes)) continue;
    const std::vector<NodeId> readers(twin_.consumers(codes).begin(), twin_.consumers(codes).end());
    const auto is_pair = [&](NodeId reader) { return is_op(twin_.node(reader), "DequantizeLinear") && twin_.node(reader).inputs[1] == scale && input_or_absent(twin_.node(reader), 2) == zero; };
    if (!std::all_of(readers.begin(), readers.end(), is_pair)) continue;
    const bool is_signed = twin_.constant(zero)->dtype == DType::int8;
    for (const NodeId reader : readers) {
      twin_.set_operator(reader, "FakeQuantize", kTrainDomain);
      twin_.set_inputs(reader, {quantize.inputs[0], scale_of(scale), zero});
      twin_.set_attribute(reader, "least", int64_t{is_signed ? -128 : 0});
      twin_.set_attribute(reader, "most", int64_t{is_signed ? 127 : 255});
      twin_.set_attribute(reader, "activation", int64_t{1});
    }
    twin_.remove(id);
    ++num_values_;
  }
}

/// The float weight of the node that made the same value before, or null.
const Constant* QuantizedTwin::weight_of(const Node& node) const {
  const auto value = floats_.find_value(twin_.value(node.outputs[0]).name);
  const auto maker = value ? floats_.producer(*value) : std::nullopt;
  if (!maker) return nullptr;
  if (floats_.node(*maker).op == "Gather") return floats_.constant(floats_.node(*maker).inputs[0]);
  const auto view = linear_view(floats_, *maker);
  return view ? floats_.constant(view->weight) : nullptr;
}

/// Puts FakeQuantize of a new constant, the nearest to `original` that has these codes, where `node` says; gives the node's output.
ValueId QuantizedTwin::fake_weight(const Tensor& original, const Constant& codes, const IntegerForm& form, const std::string& name, Node node) {
  node.op = "FakeQuantize";
  node.domain = kTrainDomain;
  const NodeId maker = *twin_.producer(node.inputs[1]);
  const RunValues of_scale{run_of(*twin_.constant(twin_.node(maker).inputs[0])), run_of(*twin_.constant(twin_.node(maker).inputs[1]))};
  RunValues inputs{original.to(at::kFloat).contiguous(), train_scale({twin_.node(maker), 0, of_scale, {}}).at(0)};
  if (node.inputs.size() > 2) inputs.push_back(run_of(*twin_.constant(node.inputs[2])));
  const Tensor start = rounding_to({node, 0, inputs, {}}, read_codes(codes, form, original.sizes().vec()));
  node.inputs[0] = twin_.add_constant(name + ".float", make_constant(start));
  return node.inputs[0];
}

/// DequantizeLinear of integers that a weight became.
void QuantizedTwin::take_weight(NodeId id) {
  const Node node = twin_.node(id);
  const ValueId codes = behind_cast(twin_, node.inputs[0]), scale = node.inputs[1], zero = input_or_absent(node, 2);
  const Constant* stored = twin_.constant(codes);
  const bool is_fixed = stored && twin_.constant(scale) && (zero == ValueId::absent || twin_.constant(zero));
  if (!is_fixed || stored->dtype == DType::int32 || twin_.constant(scale)->dtype != DType::float32) return;
  const auto name = floats_.find_value(without(twin_.value(codes).name, ".q"));
  const Constant* original = name ? floats_.constant(*name) : nullptr;
  if (!original && !twin_.consumers(node.outputs[0]).empty()) original = weight_of(twin_.node(twin_.consumers(node.outputs[0])[0]));
  if (!original || original->sizes != stored->sizes || !is_float(original->dtype)) return;
  const int64_t block_size = int_attribute(node, "block_size", 0);
  const auto [least, most] = range_of(stored->dtype, block_size > 0, most8_);
  Node fake{.inputs = {ValueId::absent, scale_of(scale)}, .outputs = node.outputs, .attributes = node.attributes};
  fake.attributes["least"] = least;
  fake.attributes["most"] = most;
  if (zero != ValueId::absent) fake.inputs.push_back(zero);
  const auto known = numbers_.find(codes);
  fake.inputs[0] = known != numbers_.end() ? known->second : fake_weight(values(*original), *stored, {}, twin_.value(codes).name, fake);
  numbers_[codes] = fake.inputs[0];
  twin_.set_operator(id, "FakeQuantize", kTrainDomain);
  twin_.set_inputs(id, fake.inputs);
  twin_.set_attribute(id, "least", least);
  twin_.set_attribute(id, "most", most);
  weights_.push_back({codes, id, {}});
}

/// DequantizeLinear of int32 at the product of the scales of its reader's other inputs.
void QuantizedTwin::take_bias(NodeId id) {
  const Node node = twin_.node(id);
  const Constant *codes = twin_.constant(node.inputs[0]), *scale = twin_.constant(node.inputs[1]);
  const auto readers = twin_.consumers(node.outputs[0]);
  if (!codes || !scale || codes->dtype != DType::int32 || readers.size() != 1) return;
  const Node reader = twin_.node(readers[0]);
  std::vector<ValueId> scales;
  for (size_t i = 0; i < 2; ++i) {
    const auto maker = twin_.producer(reader.inputs[i]);
    if (!maker || !is_op(twin_.node(*maker), "FakeQuantize", kTrainDomain)) return;
    scales.push_back(twin_.node(*maker).inputs[1]);
    if (i == 0 && twin_.node(*maker).inputs.size() < 3) return;
  }
  const Tensor numbers = (values(*codes).to(at::kDouble) * values(*scale).to(at::kDouble)).to(at::kFloat);
  const ValueId start = twin_.add_constant(twin_.value(node.inputs[0]).name + ".float", make_constant(numbers));
  twin_.set_operator(id, "FakeQuantizeBias", kTrainDomain);
  twin_.set_inputs(id, {start, scales[0], scales[1]});
  biases_.push_back({node.inputs[0], node.inputs[1], id});
}

/// What store_weights writes: codes, also in pairs from a table, times scales, in the weight's sizes.
void QuantizedTwin::take_stored(NodeId id) {
  const Node product = twin_.node(id);
  NodeId last = id;
  const auto readers = twin_.consumers(product.outputs[0]);
  if (readers.size() == 1 && is_op(twin_.node(readers[0]), "Reshape") && twin_.node(readers[0]).inputs[0] == product.outputs[0]) last = readers[0];
  const ValueId weight = twin_.node(last).outputs[0], scale = behind_cast(twin_, product.inputs[1]);
  const auto name = floats_.find_value(twin_.value(weight).name);
  const Constant* original = name ? floats_.constant(*name) : nullptr;
  if (!original || original->dtype != DType::float32 || !twin_.constant(scale)) return;
  ValueId numbers = product.inputs[0];
  std::vector<int64_t> layout;
  auto maker = twin_.producer(numbers);
  if (maker && is_op(twin_.node(*maker), "Reshape")) {
    const auto sizes = constant_ints(twin_, twin_.node(*maker).inputs[1]);
    if (!sizes) return;
    layout = *sizes;
    numbers = twin_.node(*maker).inputs[0];
    maker = twin_.producer(numbers);
  }
  const bool is_pairs = maker && is_op(twin_.node(*maker), "Gather");
  const ValueId codes = behind_cast(twin_, is_pairs ? twin_.node(*maker).inputs[1] : numbers);
  const Constant* stored = twin_.constant(codes);
  // codes that two weights happen to share would change for both
  if (twin_.consumers(codes).size() != 1 || twin_.consumers(is_pairs ? twin_.node(*maker).inputs[1] : numbers).size() != 1) return;
  if (!stored || element_count(*stored) * (is_pairs ? 2 : 1) != element_count(*original)) return;
  if (layout.empty()) layout = stored->sizes;
  if (is_pairs && layout == stored->sizes) layout.push_back(2);
  const bool is_narrow = is_pairs || stored->dtype == DType::int4 || (bits_ == 4 && values(*stored).to(at::kInt).abs().max().item<int>() <= 8);
  const std::vector<ValueId> inputs = {ValueId::absent, scale_of(scale)};
  Node fake{.inputs = inputs, .outputs = {weight}, .attributes = {{"least", int64_t{is_narrow ? -8 : -127}}, {"most", int64_t{is_narrow ? 7 : 127}}, {"layout", layout}}};
  fake.inputs[0] = fake_weight(values(*original), *stored, {}, twin_.value(codes).name, fake);
  twin_.set_operator(last, "FakeQuantize", kTrainDomain);
  twin_.set_inputs(last, fake.inputs);
  for (const auto& [key, attribute] : fake.attributes) twin_.set_attribute(last, key, attribute);
  weights_.push_back({codes, last, {}});
}

/// The rows of a weight in blocks, made once for all nodes that read them at these scales.
std::optional<ValueId> QuantizedTwin::rows_of(NodeId id, ValueId codes, size_t scale, size_t zero, IntegerForm form) {
  const Node node = twin_.node(id);
  const Constant *original = weight_of(node), *stored = twin_.constant(codes), *scales = twin_.constant(node.inputs[scale]);
  if (!original || !stored || !scales || scales->sizes.size() != 2 || original->sizes.size() != 2) return std::nullopt;
  const std::vector<int64_t> blocks = scales->sizes;
  const auto key = std::pair(original, node.inputs[scale]);
  const auto known = rows_.find(key);
  if (known != rows_.end()) {
    weights_.push_back({codes, *twin_.producer(known->second), form});
    return known->second;
  }
  const bool is_table = is_op(node, "GatherBlockQuantized", kContrib);
  const auto maker = *floats_.producer(*floats_.find_value(twin_.value(node.outputs[0]).name));
  const bool is_rows = is_table || linear_view(floats_, maker)->channel_axis == 0;
  const Tensor rows = (is_rows ? values(*original) : values(*original).t()).contiguous();
  if (rows.size(0) != blocks[0]) return std::nullopt;
  const ValueId given = input_or_absent(node, zero);
  Tensor middle = at::full(blocks, form.bits == 4 ? 8.0 : 128.0, at::kFloat);
  if (given != ValueId::absent) middle = read_codes(*twin_.constant(given), {IntegerForm::Kind::rows, form.bits, 0}, blocks);
  const std::string name = twin_.value(codes).name;
  const ValueId numbers = twin_.add_value({.name = twin_.fresh_name(name + ".d"), .dtype = DType::float32, .shape = Shape{rows.size(0), rows.size(1)}});
  Node fake{.op = "FakeQuantize", .domain = kTrainDomain, .inputs = {ValueId::absent, scale_of(node.inputs[scale]), twin_.add_constant(name + ".z", make_constant(middle))}, .outputs = {numbers},
            .attributes = {{"axis", int64_t{1}}, {"block_size", form.block_size}, {"least", int64_t{0}}, {"most", int64_t{form.bits == 4 ? 15 : 255}}}};
  fake.inputs[0] = fake_weight(rows, *stored, form, name, fake);
  const NodeId scaling = *twin_.producer(fake.inputs[1]);
  weights_.push_back({codes, twin_.insert_after(scaling, std::move(fake)), form});
  rows_[key] = numbers;
  return numbers;
}

/// MatMulNBits becomes MatMul, and an Add of its bias.
void QuantizedTwin::take_product(NodeId id) {
  const Node node = twin_.node(id);
  const IntegerForm form{IntegerForm::Kind::blocks, static_cast<int>(int_attribute(node, "bits", 4)), int_attribute(node, "block_size", 32)};
  const auto rows = rows_of(id, behind_reshape(twin_, node.inputs[1]), 2, 3, form);
  if (!rows) return;
  const ValueId columns = twin_.add_value({.name = twin_.fresh_name(twin_.value(*rows).name + ".t"), .dtype = DType::float32});
  twin_.insert_before(id, {.op = "Transpose", .inputs = {*rows}, .outputs = {columns}, .attributes = {{"perm", std::vector<int64_t>{1, 0}}}});
  for (const auto& [name, attribute] : node.attributes) twin_.remove_attribute(id, name);
  twin_.set_operator(id, "MatMul", "");
  twin_.set_inputs(id, {node.inputs[0], columns});
  const ValueId bias = input_or_absent(node, 5);
  if (bias == ValueId::absent) return;
  const ValueId product = twin_.add_value({.name = twin_.fresh_name(twin_.value(node.outputs[0]).name + ".p"), .dtype = DType::float32, .shape = twin_.value(node.outputs[0]).shape});
  twin_.set_outputs(id, {product});
  twin_.insert_after(id, {.op = "Add", .inputs = {product, bias}, .outputs = node.outputs});
}

void QuantizedTwin::take_table(NodeId id) {
  const Node node = twin_.node(id);
  const IntegerForm form{IntegerForm::Kind::rows, static_cast<int>(int_attribute(node, "bits", 4)), int_attribute(node, "block_size", 32)};
  const auto rows = rows_of(id, node.inputs[0], 2, 3, form);
  if (!rows) return;
  for (const auto& [name, attribute] : node.attributes) twin_.remove_attribute(id, name);
  twin_.set_operator(id, "Gather", "");
  twin_.set_inputs(id, {*rows, node.inputs[1]});
}

Tensor QuantizedTwin::number(ValueId value, const std::map<ValueId, Tensor>& scales) const {
  const auto scale = scales.find(value);
  return scale != scales.end() ? scale->second : values(*twin_.constant(value));
}

Tensor QuantizedTwin::codes_of_weight(NodeId id, const std::map<ValueId, Tensor>& scales) const {
  const Node& node = twin_.node(id);
  RunValues inputs;
  for (const ValueId input : node.inputs) inputs.emplace_back(number(input, scales));
  return codes_of({node, 0, inputs, {}});
}

/// Where the int32 codes of a bias leave no room for the sums, the weight's scale grows (algorithms.md 3.5).
void QuantizedTwin::keep_room(std::map<ValueId, Tensor>& scales) const {
  for (const Bias& bias : biases_) {
    const Node& node = twin_.node(bias.node);
    const Node& reader = twin_.node(twin_.consumers(node.outputs[0])[0]);
    const Node &input = twin_.node(*twin_.producer(reader.inputs[0])), &weight = twin_.node(*twin_.producer(reader.inputs[1]));
    const double step = scales.at(node.inputs[1]).item<double>(), zero = number(input.inputs[2], scales).item<double>();
    const double reach = std::max(static_cast<double>(int_attribute(input, "most", 255)) - zero, zero - static_cast<double>(int_attribute(input, "least", 0)));
    const Tensor magnitude = values(*twin_.constant(node.inputs[0])).to(at::kDouble).abs();
    Tensor& scale = scales.at(node.inputs[2]);
    const Tensor codes = codes_of_weight(*twin_.producer(reader.inputs[1]), scales).to(at::kDouble).abs();
    const bool is_spread = scale.numel() > 1;
    const int64_t axis = int_attribute(weight, "axis", 0);
    const Tensor sums = is_spread ? codes.movedim(axis, 0).reshape({codes.size(axis), -1}).sum(1) * reach : codes.sum() * reach;
    const Tensor most = is_spread ? magnitude : magnitude.max();
    const Tensor wide = scale.to(at::kDouble), is_full = (most / (wide * step) + sums).ge(kRoom);
    if (is_full.any().item<bool>()) scale = at::where(is_full, most * kMargin / ((kRoom - sums) * step), wide).to(at::kFloat);
  }
}

void QuantizedTwin::write(Graph& emitted) const {
  std::map<ValueId, Tensor> scales;          // by output of TrainScale
  for (const auto& [constant, scale] : scales_) {
    const Node& node = twin_.node(*twin_.producer(scale));
    const RunValues inputs{run_of(*twin_.constant(constant)), run_of(*twin_.constant(node.inputs[1]))};
    scales[scale] = train_scale({node, 0, inputs, {}}).at(0).tensor;
  }
  keep_room(scales);
  for (const auto& [constant, scale] : scales_) {
    const Constant& before = *emitted.constant(constant);
    emitted.set_constant(constant, make_constant(scales.at(scale).reshape(before.sizes).to(scalar_type(before.dtype))));
  }
  for (const Weight& weight : weights_) {
    const Node& node = twin_.node(weight.node);
    const Tensor zero = node.inputs.size() > 2 ? number(node.inputs[2], scales) : Tensor();
    emitted.set_constant(weight.codes, write_codes(*emitted.constant(weight.codes), weight.form, codes_of_weight(weight.node, scales), zero));
  }
  for (const Bias& bias : biases_) {
    const Node& node = twin_.node(bias.node);
    const Constant before = *emitted.constant(bias.scale);
    const Tensor scale = (scales.at(node.inputs[2]) * scales.at(node.inputs[1]).reshape({})).to(at::kFloat);
    emitted.set_constant(bias.scale, make_constant(scale.reshape(before.sizes)));
    emitted.set_constant(bias.codes, make_constant(bias_codes(values(*twin_.constant(node.inputs[0])), scale).to(at::kInt)));
  }
  for (uint32_t i = 1; i < emitted.num_values(); ++i) {   // what stayed float was trained, too
    const auto id = static_cast<ValueId>(i);
    const Constant *own = emitted.constant(id), *trained = twin_.constant(id);
    const bool is_number = own && trained && own->dtype == DType::float32 && !scales_.contains(id) && !own->sparse;
    if (is_number && std::none_of(biases_.begin(), biases_.end(), [&](const Bias& bias) { return bias.scale == id; }) && !same_content(*own, *trained)) emitted.set_constant(id, *trained);
  }
}

}  // namespace niwaki
