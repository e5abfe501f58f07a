#pragma once

#include "compress/graph.h"
#include "passes/cleanup/symbolic_int.h"

namespace niwaki {

using SymbolicShape = std::vector<SymbolicInt>;
/// Numbers of a short vector or scalar, or lengths of a shape; nullopt: not known.
using SymbolicNumbers = std::vector<std::optional<SymbolicInt>>;

/// One node with what is known of its inputs; null: nothing.
struct SymbolicNode {
  const Graph& graph;
  const Node& node;
  std::vector<const SymbolicShape*> shapes;
  std::vector<const SymbolicNumbers*> numbers;

  const SymbolicShape* shape(size_t input) const { return input < shapes.size() ? shapes[input] : nullptr; }
  const SymbolicNumbers* numbers_of(size_t input) const { return input < numbers.size() ? numbers[input] : nullptr; }
};

/// Integers that stand in an attribute of earlier opsets, or in input `index`; nullopt: absent or not constant.
std::optional<std::vector<int64_t>> constant_list(const SymbolicNode& at, size_t index, const std::string& attribute);
/// The numbers of a constant of rank 0 or 1 and at most 64 integers, bools or floats; floats only where they are whole.
std::optional<SymbolicNumbers> numbers_in(const Constant& constant);
/// How many numbers data[start:end:step] has, of `length`; nullopt where that is not one polynomial.
std::optional<SymbolicInt> sliced_length(const SymbolicInt& length, const SymbolicInt& start, const SymbolicInt& end, int64_t step);
/// Lengths after broadcasting, right-aligned.
SymbolicNumbers broadcast_lengths(const SymbolicNumbers& a, const SymbolicNumbers& b);
/// The numbers of output 0 of shape arithmetic: Shape, Gather, Slice, Concat, Mul, Equal, Where and the like.
std::optional<SymbolicNumbers> symbolic_numbers(const SymbolicNode& at);

}  // namespace niwaki
