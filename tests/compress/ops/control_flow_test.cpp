#include "tests/compress/ops/run_op.h"

#include <gmock/gmock.h>

namespace niwaki {
namespace {

Body body_of(uint32_t num_inputs, uint32_t num_outputs) {
  Body body;
  for (uint32_t i = 0; i < num_inputs; ++i) body.inputs.push_back(static_cast<ValueId>(i + 1));
  for (uint32_t i = 0; i < num_outputs; ++i) body.outputs.push_back(static_cast<ValueId>(i + 100));
  return body;
}

/// A running sum that stops above `limit` and yields each partial sum.
RunValues sum_loop(const RunValues& inputs, double limit) {
  Node node;
  node.op = "Loop";
  node.bodies["body"] = body_of(3, 3);
  const auto step = [limit](const Body&, std::span<const RunValue> given) -> RunValues {
    const Tensor sum = given[2].tensor + given[0].tensor;
    return {at::scalar_tensor(sum.item<double>() <= limit, at::kBool), sum, sum};
  };
  return find_op("", "Loop")(OpCall{node, 16, inputs, step});
}

TEST(ControlFlow, LoopCarriesAndGathers) {
  const RunValues found = sum_loop({at::scalar_tensor(4, at::kLong), RunValue(), at::zeros({}, at::kLong)}, 1e9);
  EXPECT_EQ(found[0].tensor.item<int64_t>(), 6);
  expect_equal(found[1].tensor, at::tensor({0, 1, 3, 6}, at::kLong));
}

TEST(ControlFlow, LoopEndsByItsCondition) {
  const RunValues found = sum_loop({RunValue(), RunValue(), at::zeros({}, at::kLong)}, 9);
  EXPECT_EQ(found[0].tensor.item<int64_t>(), 10);
  const RunValues none = sum_loop({RunValue(), at::zeros({}, at::kBool), at::ones({}, at::kLong)}, 9);
  EXPECT_EQ(none[0].tensor.item<int64_t>(), 1);
  EXPECT_EQ(none[1].tensor.numel(), 0);
}

TEST(ControlFlow, IfTakesTheBranch) {
  Node node;
  node.op = "If";
  node.bodies["then_branch"] = body_of(0, 1);
  node.bodies["else_branch"] = body_of(0, 1);
  const auto run = [&node](const Body& body, std::span<const RunValue>) -> RunValues {
    return {at::scalar_tensor(&body == &node.bodies["then_branch"] ? 1 : 2, at::kLong)};
  };
  const RunValues yes{at::ones({}, at::kBool)}, no{at::zeros({1}, at::kBool)};
  EXPECT_EQ(find_op("", "If")(OpCall{node, 16, yes, run})[0].tensor.item<int64_t>(), 1);
  EXPECT_EQ(find_op("", "If")(OpCall{node, 16, no, run})[0].tensor.item<int64_t>(), 2);
}

TEST(ControlFlow, ScanReadsBackwards) {
  Node node;
  node.op = "Scan";
  node.attributes = {{"num_scan_inputs", int64_t{1}}, {"scan_input_directions", std::vector<int64_t>{1}}};
  node.bodies["body"] = body_of(2, 2);
  const auto run = [](const Body&, std::span<const RunValue> given) -> RunValues {
    const Tensor y = given[0].tensor * 2 + given[1].tensor;
    return {y, y};
  };
  const RunValues inputs{at::zeros({}, at::kLong), at::tensor({1, 2, 3}, at::kLong)};
  const RunValues found = find_op("", "Scan")(OpCall{node, 16, inputs, run});
  expect_equal(found[1].tensor, at::tensor({3, 8, 17}, at::kLong));
}

TEST(ControlFlow, AMissingBodyIsRefused) {
  EXPECT_THAT(refusal("If", 16, {at::ones({}, at::kBool)}), testing::HasSubstr("the body 'then_branch' is missing"));
}

}  // namespace
}  // namespace niwaki
