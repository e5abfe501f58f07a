#pragma once

#include "passes/cleanup/symbolic_numbers.h"

namespace niwaki {

/// What holds of shapes, and of the numbers computed from them, for every input that the model accepts. A symbol stands
/// for one length of one graph input, or of a value whose operator has no rule here: names of dimensions are no proof.
class SymbolicShapes {
 public:
  explicit SymbolicShapes(const Graph& graph);
  /// Lengths of a value; null: its rank is not known.
  const SymbolicShape* shape(ValueId id) const;
  /// Numbers of integers, bools and whole floats of at most 64 elements in rank 0 or 1; null: not known.
  const SymbolicNumbers* numbers(ValueId id) const;

 private:
  struct Facts {
    std::optional<SymbolicShape> shape;
    std::optional<SymbolicNumbers> numbers;
  };
  /// Lengths that the rule does not know come from the type of the value, and are symbols where that does not know them.
  void set_shape(const Graph& graph, ValueId id, const std::optional<SymbolicNumbers>& lengths);
  void set_constant(const Graph& graph, ValueId id);
  void visit(const Graph& graph, const Node& node);

  std::vector<Facts> facts_;                 // by value
  uint32_t num_symbols_ = 0;
};

}  // namespace niwaki
