#include "passes/factorize/factor_nodes.h"

#include "compress/error.h"
#include "compress/graph_edit.h"

namespace niwaki {
namespace {

using Ints = std::vector<int64_t>;
using Attributes = std::map<std::string, Attribute>;

Ints kernel_of(const Graph& graph, const LinearView& view) {
  const Ints& sizes = graph.constant(view.weight)->sizes;
  return {sizes.begin() + 2, sizes.end()};
}

Ints ones(size_t count) { return Ints(count, 1); }

/// Kernels of the factors, first to last.
std::vector<Ints> kernels_of(FactorForm form, const Ints& kernel) {
  switch (form) {
    case FactorForm::columns: return {kernel, ones(kernel.size())};
    case FactorForm::inputs: return {ones(kernel.size()), kernel};
    case FactorForm::spatial: return {{kernel[0], 1}, {1, kernel[1]}};
    case FactorForm::tucker: break;
  }
  return {ones(kernel.size()), kernel, ones(kernel.size())};
}

/// Attributes of a convolution along one axis of two, for spatial factors.
Attributes along(const Node& node, size_t axis, const Ints& kernel) {
  Attributes found{{"kernel_shape", kernel}};
  for (const char* name : {"strides", "dilations"}) {
    Ints numbers = ints_attribute(node, name);
    if (numbers.empty()) continue;
    numbers[1 - axis] = 1;
    found[name] = numbers;
  }
  Ints pads = ints_attribute(node, "pads");
  if (!pads.empty()) {
    pads[1 - axis] = pads[3 - axis] = 0;
    found["pads"] = pads;
  }
  if (has_attribute(node, "auto_pad")) found["auto_pad"] = string_attribute(node, "auto_pad", "NOTSET");
  return found;
}

/// Of each factor: strides, pads and dilations stay with the kernel that they belong to.
std::vector<Attributes> attributes_of(const Node& node, FactorForm form, const std::vector<Ints>& kernels) {
  if (form == FactorForm::spatial) return {along(node, 0, kernels[0]), along(node, 1, kernels[1])};
  std::vector<Attributes> found;
  const size_t holder = form == FactorForm::columns ? 0 : 1;
  for (size_t i = 0; i < kernels.size(); ++i) {
    Attributes one = i == holder ? node.attributes : Attributes{};
    one["kernel_shape"] = kernels[i];
    if (has_attribute(node, "group")) one["group"] = int_attribute(node, "group", 1);
    found.push_back(std::move(one));
  }
  return found;
}

constexpr const char* kParts[] = {"first", "middle"};

}  // namespace

ValueId FactorNodes::add_constant(const LinearView& like, const char* part, const Tensor& weight) {
  const DType dtype = graph_.constant(like.weight)->dtype;
  return new_constant(graph_, cat(graph_.value(like.weight).name, ".", part), make_constant(weight.contiguous().to(scalar_type(dtype)), dtype));
}

ValueId FactorNodes::add_node(const LinearView& view, const char* part, Node node, ValueId input, ValueId weight) {
  const std::string name = cat(graph_.label(view.node), ".", part);
  const Constant* constant = graph_.constant(weight);
  const ValueId made = graph_.add_value({.name = graph_.fresh_name(cat(graph_.value(view.output).name, ".", part)), .dtype = constant ? constant->dtype : graph_.value(weight).dtype});
  node.name = name;
  node.inputs = {input, weight};
  node.outputs = {made};
  graph_.insert_before(view.node, std::move(node));
  return made;
}

void FactorNodes::take_weight(const LinearView& view, ValueId input, ValueId weight) {
  graph_.set_input(view.node, view.input_index, input);
  graph_.set_input(view.node, view.weight_index, weight);
  remove_unused_constant(graph_, view.weight);
}

std::vector<ValueId> FactorNodes::stored(const LinearView& view, FactorForm form, const std::vector<Tensor>& factors) {
  std::vector<Tensor> weights = factors;
  if (view.kind == LinearKind::conv) {
    const std::vector<Ints> kernels = kernels_of(form, kernel_of(graph_, view));
    for (size_t i = 0; i < weights.size(); ++i) {
      int64_t taps = 1;
      for (const int64_t size : kernels[i]) taps *= size;
      Ints sizes{weights[i].size(0), weights[i].size(1) / taps};
      sizes.insert(sizes.end(), kernels[i].begin(), kernels[i].end());
      weights[i] = weights[i].reshape(sizes);
    }
  } else {
    weights[0] = weights[0].t();
    if (view.channel_axis == 1) weights[1] = weights[1].t();
  }
  std::vector<ValueId> ids;
  for (size_t i = 0; i < weights.size(); ++i) ids.push_back(add_constant(view, i + 1 == weights.size() ? "last" : kParts[i], weights[i]));
  return ids;
}

void FactorNodes::replace_linear(const LinearView& view, const std::vector<ValueId>& weights) {
  const ValueId between = add_node(view, kParts[0], {.op = "MatMul"}, view.input, weights[0]);
  take_weight(view, between, weights[1]);
}

void FactorNodes::replace_conv(const LinearView& view, FactorForm form, const std::vector<ValueId>& weights) {
  const Node node = graph_.node(view.node);
  const std::vector<Attributes> attributes = attributes_of(node, form, kernels_of(form, kernel_of(graph_, view)));
  ValueId input = view.input;
  for (size_t i = 0; i + 1 < weights.size(); ++i) {
    input = add_node(view, kParts[i], {.op = "Conv", .attributes = attributes[i]}, input, weights[i]);
  }
  for (const auto& [name, old] : node.attributes) graph_.remove_attribute(view.node, name);
  for (const auto& [name, value] : attributes.back()) graph_.set_attribute(view.node, name, value);
  take_weight(view, input, weights.back());
}

void FactorNodes::replace_uses(const std::vector<LinearView>& uses, FactorForm form, const std::vector<Tensor>& factors) {
  const std::vector<ValueId> weights = stored(uses.front(), form, factors);
  for (const LinearView& view : uses) {
    if (view.kind == LinearKind::conv) replace_conv(view, form, weights);
    else replace_linear(view, weights);
  }
}

void FactorNodes::replace_sharers(const std::vector<LinearView>& nodes, const std::vector<Tensor>& factors) {
  const LinearView& leader = nodes.front();
  const ValueId between = add_node(leader, kParts[0], {.op = "MatMul"}, leader.input, add_constant(leader, kParts[0], factors[0].t()));
  int64_t row = 0;
  for (const LinearView& view : nodes) {
    const int64_t count = graph_.constant(view.weight)->sizes[static_cast<size_t>(view.channel_axis)];
    const Tensor rows = factors[1].narrow(0, row, count);
    row += count;
    take_weight(view, between, add_constant(view, "last", view.channel_axis == 1 ? rows.t() : rows));
  }
}

FactorNodes::Parts FactorNodes::store_table(ValueId table, const Tensor& narrow, const Tensor& last) {
  const DType dtype = graph_.constant(table)->dtype;
  const std::string name = graph_.value(table).name;
  const auto store = [&](const char* part, const Tensor& numbers) {
    return new_constant(graph_, cat(name, ".", part), make_constant(numbers.contiguous().to(scalar_type(dtype)), dtype));
  };
  const ValueId first = store("first", narrow);
  return {first, store("last", last)};
}

/// Each Gather reads narrow rows, and a MatMul behind it widens them.
void FactorNodes::widen_rows(const std::vector<NodeId>& gathers, const Parts& parts) {
  for (const NodeId id : gathers) {
    const ValueId made = graph_.node(id).outputs[0];
    const std::string label = graph_.label(id);
    const ValueId between = graph_.add_value({.name = graph_.fresh_name(graph_.value(made).name + ".first"), .dtype = graph_.constant(parts.narrow)->dtype});
    graph_.set_input(id, 0, parts.narrow);
    graph_.set_outputs(id, {between});
    graph_.insert_after(id, {.name = label + ".last", .op = "MatMul", .inputs = {between, parts.last}, .outputs = {made}});
  }
}

void FactorNodes::replace_table(ValueId table, const std::vector<NodeId>& gathers, const std::vector<Tensor>& factors) {
  const Tensor numbers = values(*graph_.constant(table)).to(at::kDouble);
  widen_rows(gathers, store_table(table, numbers.mm(factors[0].t()), factors[1].t()));
  remove_unused_constant(graph_, table);
}

/// A Transpose of a constant, which runtimes compute when they load the model.
ValueId FactorNodes::turned(NodeId before, const char* part, ValueId matrix) {
  const ValueId made = graph_.add_value({.name = graph_.fresh_name(graph_.value(matrix).name + ".turned"), .dtype = graph_.constant(matrix)->dtype});
  graph_.insert_before(before, {.name = cat(graph_.label(before), ".", part), .op = "Transpose", .inputs = {matrix}, .outputs = {made}, .attributes = {{"perm", Ints{1, 0}}}});
  return made;
}

void FactorNodes::remove_old(ValueId weight) {
  if (!graph_.consumers(weight).empty()) return;
  if (const auto transpose = graph_.producer(weight)) remove_with_constants(graph_, *transpose);
  else remove_unused_constant(graph_, weight);
}

void FactorNodes::replace_tied(ValueId table, const std::vector<NodeId>& gathers, const std::vector<LinearView>& heads, const std::vector<Tensor>& factors) {
  const int64_t rows = graph_.constant(table)->sizes[0];
  const Parts parts = store_table(table, factors[1].narrow(0, 0, rows), factors[0]);
  widen_rows(gathers, parts);
  std::optional<Parts> turned_parts;
  for (const LinearView& view : heads) {
    const bool is_gemm = view.kind == LinearKind::gemm;
    if (!is_gemm && !turned_parts) turned_parts = Parts{turned(view.node, "turn_last", parts.narrow), turned(view.node, "turn_first", parts.last)};
    const Node first = is_gemm ? Node{.op = "Gemm", .attributes = {{"transB", int64_t{1}}}} : Node{.op = "MatMul"};
    const ValueId between = add_node(view, kParts[0], first, view.input, is_gemm ? parts.last : turned_parts->last);
    graph_.set_input(view.node, view.input_index, between);
    graph_.set_input(view.node, view.weight_index, is_gemm ? parts.narrow : turned_parts->narrow);
    if (is_gemm) graph_.set_attribute(view.node, "transB", int64_t{1});
    remove_old(view.weight);
  }
  remove_unused_constant(graph_, table);
}

}  // namespace niwaki
