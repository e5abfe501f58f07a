#include "passes/cleanup/symbolic_numbers.h"

#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

const SymbolicInt kN = SymbolicInt::symbol(0), kT = SymbolicInt::symbol(1);

/// What a node gives for these numbers; float32 where `dtype` says so.
std::optional<SymbolicNumbers> computed(const std::string& op, std::vector<SymbolicNumbers> inputs, DType dtype = DType::int64) {
  GraphBuilder b;
  std::vector<ValueId> values;
  for (size_t i = 0; i < inputs.size(); ++i) values.push_back(b.input("x" + std::to_string(i), {1}, dtype));
  const ValueId output = b.node(op, values, {}, "node");
  Graph graph = b.graph();
  const bool is_truth = op == "Equal" || op == "Less" || op == "Not";
  graph.set_type(output, is_truth ? DType::boolean : dtype, std::nullopt);
  SymbolicNode at{graph, graph.node(*graph.producer(output)), {}, {}};
  std::vector<SymbolicShape> shapes;
  for (const SymbolicNumbers& one : inputs) shapes.push_back({static_cast<int64_t>(one.size())});
  for (size_t i = 0; i < inputs.size(); ++i) {
    at.shapes.push_back(&shapes[i]);
    at.numbers.push_back(&inputs[i]);
  }
  return symbolic_numbers(at);
}

TEST(SymbolicNumbers, ComputesElementByElement) {
  EXPECT_EQ(computed("Mul", {{kN, 3}, {4}}), (SymbolicNumbers{*product(kN, 4), 12}));
  EXPECT_EQ(computed("Div", {{*product(kN, 8), 7, kN}, {2}}), (SymbolicNumbers{*product(kN, 4), 3, std::nullopt}));
  EXPECT_EQ(computed("Div", {{-7}, {2}}), (SymbolicNumbers{-3}));    // toward zero
  EXPECT_EQ(computed("Div", {{7}, {0}}), (SymbolicNumbers{std::nullopt}));
  EXPECT_EQ(computed("Max", {{*sum(kN, 2), kN}, {kN, kT}}), (SymbolicNumbers{*sum(kN, 2), std::nullopt}));
}

TEST(SymbolicNumbers, ComparesWhatSignsCanTell) {
  EXPECT_EQ(computed("Equal", {{kN, kN, kN, 4}, {-1, kN, kT, 5}}), (SymbolicNumbers{0, 1, std::nullopt, 0}));
  EXPECT_EQ(computed("Less", {{-1, kN}, {kN, 1}}), (SymbolicNumbers{1, std::nullopt}));
}

TEST(SymbolicNumbers, KeepsFloatsThatAreWholeOnly) {
  EXPECT_EQ(computed("Div", {{7, 8}, {2}}, DType::float32), (SymbolicNumbers{std::nullopt, 4}));
  EXPECT_EQ(computed("Mul", {{0}, {-1}}, DType::float32), (SymbolicNumbers{std::nullopt}));    // it is -0
  EXPECT_EQ(computed("Mul", {{std::nullopt}, {0}}, DType::float32), (SymbolicNumbers{std::nullopt}));    // of NaN it is NaN
  EXPECT_EQ(computed("Mul", {{8192}, {8192}}, DType::float32), (SymbolicNumbers{std::nullopt}));
  EXPECT_EQ(computed("Mul", {{std::nullopt}, {0}}), (SymbolicNumbers{0}));
  EXPECT_EQ(numbers_in(make_constant(at::tensor({2.0, 0.5, -0.0}, at::kFloat))), (SymbolicNumbers{2, std::nullopt, std::nullopt}));
}

TEST(SymbolicNumbers, SlicesLengthsThatAreProven) {
  EXPECT_EQ(sliced_length(10, 2, 9, 3), SymbolicInt(3));
  EXPECT_EQ(sliced_length(10, -3, 9223372036854775807, 1), SymbolicInt(3));
  EXPECT_EQ(sliced_length(512, 0, kT, 1), std::nullopt);             // the shorter of both
  EXPECT_EQ(sliced_length(kT, 0, kT, 1), kT);
  EXPECT_EQ(sliced_length(*sum(kT, 4), 1, -1, 1), *sum(kT, 2));
  EXPECT_EQ(sliced_length(kT, 1, kT, 1), std::nullopt);              // nothing is left of an empty one
}

TEST(SymbolicNumbers, BroadcastsLengths) {
  EXPECT_EQ(broadcast_lengths({kN, 1, 8}, {kT, 8}), (SymbolicNumbers{kN, kT, 8}));
  EXPECT_EQ(broadcast_lengths({kN}, {kT}), (SymbolicNumbers{std::nullopt}));   // one of them may be 1
  EXPECT_EQ(broadcast_lengths({kN}, {4}), (SymbolicNumbers{4}));
}

}  // namespace
}  // namespace niwaki
