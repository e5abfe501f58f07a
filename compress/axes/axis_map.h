#pragma once

#include "compress/axes/axis_classes.h"

#include <map>
#include <set>

namespace niwaki {

/// One id per index of an axis; empty: of unknown length, told apart by `symbol`.
struct Ids : std::vector<uint32_t> {
  using std::vector<uint32_t>::vector;
  uint32_t symbol = 0;                       // equal and not 0: equal lengths
};
using AxisIds = std::vector<Ids>;            // one per axis

/// An element of a shape that the graph computes.
struct Length {
  std::optional<int64_t> number;
  uint32_t symbol = 0;                       // of the axis of unknown length that it counts
  std::vector<std::pair<ValueId, size_t>> axes = {};   // that the number was read from
};
struct Lengths {
  size_t rank = 1;                           // 0 or 1
  std::vector<Length> elements;
};

/// Axis ids while the rules unite them (union-find); id 0 is frozen.
class AxisMap {
 public:
  AxisMap(const Graph& graph, AxisClassesOptions options);
  const Graph& graph() const { return graph_; }
  const AxisClassesOptions& options() const { return options_; }
  bool has(ValueId value) const { return value != ValueId::absent && ids_[index_of(value)].has_value(); }
  const AxisIds& of(ValueId value) const { return *ids_[index_of(value)]; }
  /// Ids of an input, or null where it is absent or of unknown rank.
  const AxisIds* input(const Node& node, size_t index) const;
  /// Gives a value its ids; false if an axis contradicts the inferred shape.
  bool set(ValueId value, AxisIds axes);
  bool set_output(const Node& node, AxisIds axes) { return set(node.outputs[0], std::move(axes)); }

  uint32_t fresh();
  Ids fresh_axis(int64_t size);
  Ids unknown_axis(uint32_t symbol = 0);     // 0: a new one
  /// An axis of length min(symbol, n) for some n > 1: beside an axis of length `symbol` it fits only where it is equal.
  Ids bounded_axis(uint32_t symbol);
  /// The longer of two unknown lengths that face each other; 0 if unknown.
  uint32_t joined_symbol(uint32_t a, uint32_t b) const;
  uint32_t find(uint32_t id);                // 0 if frozen
  void unite(uint32_t a, uint32_t b);
  /// Index by index; axes of different or unknown length freeze each other.
  void unite(const Ids& a, const Ids& b);
  /// `why` completes "node 'x' (Op) ...".
  void freeze(const Ids& axis, const char* why = "needs every index of this axis");
  void freeze(ValueId value, const std::string& reason);
  bool is_frozen(const Ids& axis);
  std::string reason(uint32_t id);           // of a frozen id
  /// Ids of an axis that nothing ties: zeros of the inferred length.
  Ids frozen_axis(ValueId value, size_t axis);
  AxisIds frozen_axes(ValueId value);

  /// The elements of a small shape: constant, or followed from Shape.
  std::optional<Lengths> lengths(ValueId value) const;
  bool follows(ValueId value) const { return lengths_.contains(value); }
  void set_lengths(ValueId value, Lengths lengths);
  /// Freezes the axes whose lengths the elements were read from.
  void freeze_lengths(ValueId value);

  std::optional<NodeId> node;                // whose rule runs
  std::vector<FrozenAxis> frozen;
  std::vector<std::vector<Ids>> equal_counts;
  std::vector<Ids> approximate;
  std::set<NodeId> computed_targets;
  std::set<std::pair<ValueId, uint32_t>> sliced_by_block;

 private:
  uint32_t root(uint32_t id);
  uint32_t because(const char* why);
  std::string place() const;

  const Graph& graph_;
  AxisClassesOptions options_;
  std::vector<std::optional<AxisIds>> ids_;
  std::vector<uint32_t> parents_{0}, reasons_{1};      // reasons_: by root, 0: not frozen
  std::vector<std::string> reason_texts_{"", "an input of the model, or an axis that no channel can leave"};
  std::map<std::pair<std::optional<NodeId>, const char*>, uint32_t> reason_of_;
  std::map<std::string, uint32_t> symbols_;
  std::map<uint32_t, uint32_t> bounds_;      // symbol of a bounded axis -> what it is a part of
  uint32_t num_symbols_ = 0;
  std::map<ValueId, Lengths> lengths_;
};

/// "node 'conv1' (Conv)".
std::string node_place(const Graph& graph, NodeId id);

}  // namespace niwaki
