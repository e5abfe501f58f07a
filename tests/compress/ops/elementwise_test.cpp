#include "tests/compress/ops/run_op.h"

namespace niwaki {
namespace {

constexpr double kGradient = 1e-6;

Tensor longs(std::vector<int64_t> numbers) { return at::tensor(numbers, at::kLong); }

TEST(Elementwise, GradientsAreThoseOfFiniteDifferences) {
  const Tensor x = smooth_numbers({2, 3}), y = smooth_numbers({3}, 1);
  const Tensor positive = at::abs(x) + 0.5, small = x / 3;
  for (const char* op : {"Abs", "Atan", "Asinh", "Cos", "Cosh", "Erf", "Exp", "Neg", "Sin", "Sinh"}) {
    EXPECT_LT(gradient_error(op, 13, {x}), kGradient) << op;
  }
  for (const char* op : {"Log", "Reciprocal", "Sqrt"}) EXPECT_LT(gradient_error(op, 13, {positive}), kGradient) << op;
  for (const char* op : {"Acos", "Asin", "Atanh", "Tan"}) EXPECT_LT(gradient_error(op, 13, {small}), 1e-5) << op;
  EXPECT_LT(gradient_error("Acosh", 13, {positive + 1}), kGradient);
  for (const char* op : {"Add", "Sub", "Mul", "Max", "Min", "Mean", "Sum"}) {
    EXPECT_LT(gradient_error(op, 13, {x, y}), kGradient) << op;
  }
  EXPECT_LT(gradient_error("Div", 13, {x, at::abs(y) + 0.5}), kGradient);
  EXPECT_LT(gradient_error("Pow", 13, {positive, y}), kGradient);
  EXPECT_LT(gradient_error("Where", 13, {x > 0, x, y}), kGradient);
}

TEST(Elementwise, IntegersDivideTowardZero) {
  expect_equal(run_tensor("Div", 14, {longs({-7, 7, -7}), longs({2, -2, -2})}), longs({-3, -3, 3}));
  expect_equal(run_tensor("Mod", 13, {longs({-7, 7}), longs({3, -3})}), longs({2, -2}));
  expect_equal(run_tensor("Mod", 13, {longs({-7, 7}), longs({3, -3})}, {{"fmod", int64_t{1}}}), longs({-1, 1}));
  EXPECT_EQ(refusal("Div", 14, {longs({1}), longs({0})}), "E1108: Div: division of integers by zero");
}

TEST(Elementwise, UnsignedIntegersOfAllWidthsWork) {
  const Tensor most = longs({-1, 5}).view(at::kUInt64), two = longs({2, 2}).view(at::kUInt64);
  expect_equal(run_tensor("Div", 14, {most, two}).view(at::kLong), longs({std::numeric_limits<int64_t>::max(), 2}));
  expect_equal(run_tensor("Greater", 13, {most, two}), at::ones({2}, at::kBool));
  expect_equal(run_tensor("Max", 13, {most, two}).view(at::kLong), longs({-1, 5}));
  expect_equal(run_tensor("BitShift", 11, {most, two}, {{"direction", "RIGHT"}}).view(at::kLong),
               longs({std::numeric_limits<int64_t>::max() >> 1, 1}));
  for (const auto type : {at::kUInt16, at::kUInt32, at::kUInt64, at::kByte}) {
    const Tensor a = longs({250, 3}).to(type), b = longs({5, 2}).to(type);
    EXPECT_EQ(run_tensor("Add", 14, {a, b}).scalar_type(), type);
    expect_equal(run_tensor("Sub", 14, {a, b}).to(at::kLong), longs({245, 1}));
  }
}

TEST(Elementwise, RoundsHalfToEven) {
  expect_equal(run_tensor("Round", 11, {at::tensor({0.5, 1.5, -2.5})}), at::tensor({0.0, 2.0, -2.0}));
}

TEST(Elementwise, PowHasTheTypeOfItsBase) {
  expect_equal(run_tensor("Pow", 13, {longs({2, 3}), at::tensor({3.0f, 2.0f})}), longs({8, 9}));
  EXPECT_EQ(run_tensor("Pow", 13, {at::ones({2}), longs({2})}).scalar_type(), at::kFloat);
  EXPECT_EQ(run_tensor("Pow", 13, {at::ones({}), at::full({1}, 2.0f)}).dim(), 1);
}

TEST(Elementwise, ComparesAndSelectsStrings) {
  Node node;
  node.op = "Equal";
  RunValue words, word;
  words.strings = std::make_shared<Strings>(Strings{"a", "b", "a"});
  words.sizes = {3};
  word.strings = std::make_shared<Strings>(Strings{"a"});
  words.dtype = word.dtype = DType::string;
  const RunValues both{words, word};
  const RunValues equal = find_op("", "Equal")(OpCall{node, 19, both, {}});
  expect_equal(equal[0].tensor, at::tensor({1, 0, 1}).to(at::kBool));
  node.op = "Where";
  const RunValues three{equal[0], word, words};
  const RunValues chosen = find_op("", "Where")(OpCall{node, 16, three, {}});
  EXPECT_EQ(*chosen[0].strings, (Strings{"a", "b", "a"}));
}

TEST(Elementwise, EmptyTensorsWork) {
  for (const char* op : {"Add", "Div", "Max", "Pow"}) {
    EXPECT_EQ(run_tensor(op, 14, {at::zeros({0, 3}), at::ones({3})}).numel(), 0) << op;
  }
  EXPECT_EQ(run_tensor("Div", 14, {at::zeros({0}, at::kLong), at::zeros({0}, at::kLong)}).numel(), 0);
}

}  // namespace
}  // namespace niwaki
