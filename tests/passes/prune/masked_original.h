#pragma once

#include "compress/axes/axis_classes.h"
#include "compress/graph_edit.h"

#include <algorithm>
#include <set>

namespace niwaki {

/// Builds what a removal of classes must equal: the original, in which no sum reads the channels that go, and norms
/// see the others alone. `shift` turns the channels by so many indices: a mistake that tests must notice.
class MaskedOriginal {
 public:
  MaskedOriginal(Graph graph, const AxisClasses& classes, const std::set<ClassId>& removed, size_t shift = 0)
      : graph_(std::move(graph)), classes_(classes), removed_(removed), shift_(shift) {}
  Graph build() {
    for (const NodeId id : std::vector<NodeId>(graph_.main().nodes)) visit(id);
    return std::move(graph_);
  }

 private:
  bool goes(std::span<const ClassId> ids, size_t i) const { return removed_.contains(ids[(i + shift_) % ids.size()]); }
  bool is_cut(ValueId value, size_t axis) const {
    const auto ids = classes_.axis(value, axis);
    return std::any_of(ids.begin(), ids.end(), [&](ClassId id) { return removed_.contains(id); });
  }
  ValueId made(NodeId before, const std::string& op, std::vector<ValueId> inputs, std::map<std::string, Attribute> attributes, DType dtype) {
    const ValueId output = graph_.add_value({.name = graph_.fresh_name("masked"), .dtype = dtype});
    graph_.insert_before(before, {.op = op, .inputs = std::move(inputs), .outputs = {output}, .attributes = std::move(attributes)});
    return output;
  }

  /// Zeroes what goes of an axis of an input.
  void mask(NodeId id, size_t index, size_t axis) {
    const ValueId x = graph_.node(id).inputs.at(index), original = x;
    if (!is_cut(original, axis)) return;
    const auto ids = classes_.axis(original, axis);
    std::vector<int64_t> sizes(classes_.num_axes(original), 1);
    sizes[axis] = static_cast<int64_t>(ids.size());
    const DType dtype = dtype_of(x);
    Tensor numbers = at::ones({sizes[axis]}, scalar_type(dtype));
    for (size_t i = 0; i < ids.size(); ++i) {
      if (goes(ids, i)) numbers[static_cast<int64_t>(i)] = 0;
    }
    graph_.set_input(id, index, made(id, "Mul", {x, graph_.add_constant("mask", make_constant(numbers.reshape(sizes)))}, {}, dtype));
  }
  DType dtype_of(ValueId id) const {         // inference may not reach a value: then as the input of the model
    if (graph_.constant(id)) return graph_.constant(id)->dtype;
    const DType dtype = graph_.value(id).dtype;
    return dtype != DType::undefined ? dtype : graph_.value(graph_.main().inputs.front()).dtype;
  }

  Tensor kept(ValueId value, size_t axis) const {
    std::vector<int64_t> indices;
    const auto ids = classes_.axis(value, axis);
    for (size_t i = 0; i < ids.size(); ++i) {
      if (!goes(ids, i)) indices.push_back(static_cast<int64_t>(i));
    }
    return at::tensor(indices, at::kLong);
  }
  ValueId gathered(NodeId before, ValueId x, size_t axis, const Tensor& indices) {
    const ValueId constant = graph_.add_constant("kept", make_constant(indices));
    return made(before, "Gather", {x, constant}, {{"axis", static_cast<int64_t>(axis)}}, dtype_of(x));
  }
  /// A norm over an axis: on what stays, spread to the old places again; what goes is masked where it is read.
  void norm(NodeId id, size_t axis) {
    const Node node = graph_.node(id);
    if (!is_cut(node.inputs[0], axis)) return;
    const Tensor indices = kept(node.inputs[0], axis);
    graph_.set_input(id, 0, gathered(id, node.inputs[0], axis, indices));
    if (node.op == "ReduceMean") return;
    for (size_t i = 1; i < node.inputs.size(); ++i) graph_.set_input(id, i, gathered(id, node.inputs[i], 0, indices));
    Tensor back = at::zeros({static_cast<int64_t>(classes_.axis(node.inputs[0], axis).size())}, at::kLong);
    for (int64_t i = 0; i < indices.numel(); ++i) back[indices[i].item<int64_t>()] = i;
    const ValueId inner = graph_.add_value({.name = graph_.fresh_name("normed"), .dtype = dtype_of(node.inputs[0])});
    graph_.set_outputs(id, {inner});
    graph_.insert_after(id, {.op = "Gather", .inputs = {inner, graph_.add_constant("back", make_constant(back))}, .outputs = node.outputs,
                             .attributes = {{"axis", static_cast<int64_t>(axis)}}});
  }

  void visit(NodeId id) {
    const Node node = graph_.node(id);
    const size_t rank = classes_.num_axes(node.inputs.empty() ? ValueId::absent : node.inputs[0]);
    if (node.op == "Conv" || node.op == "ConvTranspose") mask(id, 0, 1);
    if (node.op == "MatMul") mask(id, 0, rank - 1);
    if (node.op == "Gemm") mask(id, 0, int_attribute(node, "transA", 0) != 0 ? 0 : 1);
    if (node.op == "Einsum") einsum(id);
    if (node.op == "LSTM" || node.op == "GRU" || node.op == "RNN") {
      mask(id, 0, 2);
      mask(id, 2, 2);
    }
    if (node.op == "LayerNormalization" || node.op == "RMSNormalization" || averages_last(node, rank)) norm(id, rank - 1);
    if (node.op == "GroupNormalization") norm(id, 1);
  }
  bool averages_last(const Node& node, size_t rank) const {
    if (node.op != "ReduceMean") return false;
    const auto axes = has_attribute(node, "axes") ? std::optional(ints_attribute(node, "axes")) : constant_ints(graph_, input_or_absent(node, 1));
    return axes && axes->size() == 1 && (axes->front() == -1 || axes->front() + 1 == static_cast<int64_t>(rank));
  }
  /// Letters of the first input that the output lacks.
  void einsum(NodeId id) {
    const std::string equation = string_attribute(graph_.node(id), "equation", "");
    const size_t arrow = equation.find("->"), end = equation.find(',');
    for (size_t i = 0; i < end; ++i) {
      if (equation.find(equation[i], arrow) == std::string::npos) mask(id, 0, i);
    }
  }

  Graph graph_;
  const AxisClasses& classes_;
  const std::set<ClassId>& removed_;
  size_t shift_;
};

}  // namespace niwaki
