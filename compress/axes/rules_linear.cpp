#include "compress/axes/rules.h"

#include "compress/graph_edit.h"

#include <algorithm>

namespace niwaki {
namespace {

/// [batch, channels, spatial...]: batch passes, spatial axes are frozen.
AxisIds with_channels(AxisMap& map, const Node& node, const AxisIds& x, Ids channels) {
  AxisIds axes{x[0], std::move(channels)};
  for (size_t i = 2; i < x.size(); ++i) {
    map.freeze(x[i]);
    axes.push_back(map.frozen_axis(node.outputs[0], i));
  }
  return axes;
}

void freeze_from(AxisMap& map, const AxisIds& axes, size_t first) {
  for (size_t i = first; i < axes.size(); ++i) map.freeze(axes[i]);
}

/// Ties index j of every block of `axis` to index j of the first: all groups lose the same.
void tie_blocks(AxisMap& map, const Ids& axis, size_t blocks) {
  const size_t size = axis.size() / blocks;
  for (size_t i = size; i < axis.size(); ++i) map.unite(axis[i], axis[i % size]);
}

bool unite_bias(AxisMap& map, const Node& node, size_t index, const Ids& channels) {
  if (index >= node.inputs.size() || node.inputs[index] == ValueId::absent) return true;
  const AxisIds* bias = map.input(node, index);
  if (bias == nullptr || bias->size() != 1) return false;
  map.unite((*bias)[0], channels);
  return true;
}

/// The axis in blocks, one per group, that must keep equal counts; no ties between them.
void balance(AxisMap& map, const Ids& axis, size_t groups) {
  const size_t size = axis.size() / groups;
  std::vector<Ids> blocks;
  for (auto next = axis.begin(); next != axis.end(); next += static_cast<int64_t>(size)) blocks.emplace_back(next, next + static_cast<int64_t>(size));
  map.equal_counts.push_back(std::move(blocks));
}

/// True if slice_classes can give every group of the weight its own channels: a constant that no other node reads.
bool can_balance(const AxisMap& map, ValueId weight) {
  return fixed_constant(map.graph(), weight) != nullptr && has_single_use(map.graph(), weight);
}

/// Axis 1 of a weight that all groups share: cut group by group, with the channels of each.
void slice_by_block(AxisMap& map, ValueId weight, const Ids& axis) {
  map.freeze(axis, "counts the channels of one group");
  map.sliced_by_block.insert({weight, 1});
}

bool conv(AxisMap& map, const Node& node) {
  const AxisIds *x_axes = map.input(node, 0), *w_axes = map.input(node, 1);
  if (!x_axes || !w_axes || x_axes->size() != w_axes->size() || x_axes->size() < 3) return false;
  const AxisIds x = *x_axes, w = *w_axes;
  const auto groups = static_cast<size_t>(int_attribute(node, "group", 1));
  if (groups == 0 || w[1].empty() || x[1].size() != groups * w[1].size() || w[0].size() % groups != 0 || w[0].empty()) return false;
  freeze_from(map, w, 2);
  if (groups == 1) {
    map.unite(x[1], w[1]);
  } else if (w[1].size() == 1) {             // depthwise: output o reads input o / multiplier
    map.freeze(w[1]);
    const size_t multiplier = w[0].size() / groups;
    for (size_t o = 0; o < w[0].size(); ++o) map.unite(w[0][o], x[1][o / multiplier]);
  } else if (can_balance(map, node.inputs[1])) {
    balance(map, x[1], groups);
    balance(map, w[0], groups);
    slice_by_block(map, node.inputs[1], w[1]);
  } else {
    tie_blocks(map, x[1], groups);
    tie_blocks(map, w[0], groups);
    for (size_t i = 0; i < x[1].size(); ++i) map.unite(x[1][i], w[1][i % w[1].size()]);
  }
  if (!unite_bias(map, node, 2, w[0])) return false;
  return map.set_output(node, with_channels(map, node, x, w[0]));
}

/// Channels that a ConvTranspose writes; what it reads is tied or balanced.
Ids transposed_outputs(AxisMap& map, const Node& node, const AxisIds& w, size_t groups) {
  Ids outputs;
  if (groups > 1 && w[0].size() == groups) { // depthwise: input c writes a block of its own
    map.freeze(w[1]);
    for (const uint32_t id : w[0]) outputs.insert(outputs.end(), w[1].size(), id);
  } else if (groups > 1 && can_balance(map, node.inputs[1])) {
    outputs = map.fresh_axis(static_cast<int64_t>(groups * w[1].size()));
    balance(map, w[0], groups);
    balance(map, outputs, groups);
    slice_by_block(map, node.inputs[1], w[1]);
  } else {                                   // every group's outputs share axis 1: all groups lose the same
    tie_blocks(map, w[0], groups);
    for (size_t o = 0; o < groups * w[1].size(); ++o) outputs.push_back(w[1][o % w[1].size()]);
  }
  return outputs;
}

bool conv_transpose(AxisMap& map, const Node& node) {
  const AxisIds *x_axes = map.input(node, 0), *w_axes = map.input(node, 1);
  if (!x_axes || !w_axes || x_axes->size() != w_axes->size() || x_axes->size() < 3) return false;
  const AxisIds x = *x_axes, w = *w_axes;
  const auto groups = static_cast<size_t>(int_attribute(node, "group", 1));
  if (groups == 0 || x[1].size() != w[0].size() || w[0].size() % groups != 0 || w[0].empty() || w[1].empty()) return false;
  freeze_from(map, w, 2);
  map.unite(x[1], w[0]);
  const Ids outputs = transposed_outputs(map, node, w, groups);
  if (!unite_bias(map, node, 2, outputs)) return false;
  return map.set_output(node, with_channels(map, node, x, outputs));
}

bool gemm(AxisMap& map, const Node& node) {
  const AxisIds *a_axes = map.input(node, 0), *b_axes = map.input(node, 1);
  if (!a_axes || !b_axes || a_axes->size() != 2 || b_axes->size() != 2) return false;
  const AxisIds a = *a_axes, b = *b_axes;
  const size_t a_inner = int_attribute(node, "transA", 0) != 0 ? 0 : 1, b_inner = int_attribute(node, "transB", 0) != 0 ? 1 : 0;
  map.unite(a[a_inner], b[b_inner]);
  AxisIds axes{a[1 - a_inner], b[1 - b_inner]};
  if (node.inputs.size() > 2 && node.inputs[2] != ValueId::absent) {
    const AxisIds* c = map.input(node, 2);
    if (c == nullptr || c->size() > 2) return false;
    for (size_t i = 0; i < c->size(); ++i) {
      const Ids& target = axes[2 - c->size() + i];
      if ((*c)[i].size() == 1 && target.size() != 1) map.freeze((*c)[i]);
      else map.unite((*c)[i], target);
    }
  }
  return map.set_output(node, std::move(axes));
}

bool matmul(AxisMap& map, const Node& node) {
  const AxisIds *a_axes = map.input(node, 0), *b_axes = map.input(node, 1);
  if (!a_axes || !b_axes || a_axes->size() < 2 || b_axes->size() < 2) return false;
  const AxisIds a = *a_axes, b = *b_axes;
  map.unite(a.back(), b[b.size() - 2]);
  AxisIds axes = broadcast(map, AxisIds(a.begin(), a.end() - 2), AxisIds(b.begin(), b.end() - 2));
  axes.push_back(a[a.size() - 2]);
  axes.push_back(b.back());
  return map.set_output(node, std::move(axes));
}

/// Equal letters are one axis; a letter that the output lacks is summed over.
bool einsum(AxisMap& map, const Node& node) {
  std::string equation = string_attribute(node, "equation", "");
  std::erase(equation, ' ');
  const size_t arrow = equation.find("->");
  if (arrow == std::string::npos || equation.find('.') != std::string::npos) return false;
  std::map<char, Ids> axes;
  size_t at = 0;
  for (size_t i = 0; i < node.inputs.size(); ++i, ++at) {
    const AxisIds* x_axes = map.input(node, i);
    if (!x_axes) return false;
    std::set<char> letters;
    for (const Ids& axis : AxisIds(*x_axes)) {
      if (at >= arrow || equation[at] == ',' || !letters.insert(equation[at]).second) return false;
      const auto [place, is_new] = axes.emplace(equation[at++], axis);
      if (is_new) continue;
      map.unite(place->second, axis);
      if (place->second.empty() && place->second.symbol != axis.symbol) place->second = axis.empty() ? Ids{} : axis;
    }
    if (at > arrow || (at < arrow && equation[at] != ',')) return false;
  }
  AxisIds result;
  for (const char letter : equation.substr(arrow + 2)) {
    if (!axes.contains(letter)) return false;
    result.push_back(axes.at(letter));
  }
  return at == arrow + 1 && map.set_output(node, std::move(result));
}

/// LSTM, GRU and RNN: one hidden unit is a row of every gate, of both directions, and a column of R.
bool recurrent(AxisMap& map, const Node& node) {
  const AxisIds *x = map.input(node, 0), *w = map.input(node, 1), *r = map.input(node, 2);
  if (!x || !w || !r || x->size() != 3 || w->size() != 3 || r->size() != 3) return false;
  if (int_attribute(node, "layout", 0) != 0) return false;
  const AxisIds x_axes = *x, w_axes = *w, r_axes = *r;
  map.unite(x_axes[2], w_axes[2]);
  for (const AxisIds* axes : {&w_axes, &r_axes}) map.freeze((*axes)[0]);
  const Ids hidden = r_axes[2];
  const auto tie_rows = [&](const Ids& rows) {
    if (hidden.empty() || rows.empty() || rows.size() % hidden.size() != 0) return false;
    for (size_t i = 0; i < rows.size(); ++i) map.unite(rows[i], hidden[i % hidden.size()]);
    return true;
  };
  if (!tie_rows(w_axes[1]) || !tie_rows(r_axes[1])) return false;
  for (const size_t index : {size_t{3}, size_t{5}, size_t{6}, size_t{7}}) {   // B, initial states, P
    if (index >= node.inputs.size() || node.inputs[index] == ValueId::absent) continue;
    const AxisIds* axes = map.input(node, index);
    if (axes == nullptr) return false;
    const AxisIds copy = *axes;
    map.freeze(copy.front());
    if (!tie_rows(copy.back())) return false;
  }
  if (const AxisIds* lengths = map.input(node, 4)) freeze_from(map, AxisIds(*lengths), 0);
  map.freeze(x_axes[0]);
  map.freeze(x_axes[1]);
  for (size_t i = 0; i < node.outputs.size(); ++i) {
    const ValueId output = node.outputs[i];
    if (output == ValueId::absent) continue;
    const size_t rank = i == 0 ? 4 : 3;
    AxisIds axes{map.frozen_axis(output, rank - 3), x_axes[1], hidden};
    if (i == 0) axes.insert(axes.begin(), x_axes[0]);
    if (!map.set(output, std::move(axes))) return false;
  }
  return true;
}

}  // namespace

const AxisRules& linear_axis_rules() {
  static const AxisRules rules = {{"Conv", conv}, {"ConvTranspose", conv_transpose}, {"Einsum", einsum}, {"GRU", recurrent}, {"Gemm", gemm},
                                  {"LSTM", recurrent}, {"MatMul", matmul}, {"RNN", recurrent}};
  return rules;
}

}  // namespace niwaki
