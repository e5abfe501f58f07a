#include "compress/ops/op_arguments.h"
#include "tests/compress/ops/run_op.h"

#include <gmock/gmock.h>

namespace niwaki {
namespace {

RunValues run_values(const std::string& op, const RunValues& inputs, const Attributes& attributes = {}) {
  Node node;
  node.op = op;
  node.attributes = attributes;
  return find_op("", op)(OpCall{node, 17, inputs, {}});
}

RunValue number(int64_t value) { return at::scalar_tensor(value, at::kLong); }

TEST(Sequence, InsertEraseAndTake) {
  const RunValue one = run_values("SequenceConstruct", {number(1), number(2)})[0];
  const RunValue more = run_values("SequenceInsert", {one, number(9), number(-1)})[0];       // before the last
  EXPECT_EQ(run_values("SequenceAt", {more, number(1)})[0].tensor.item<int64_t>(), 9);
  const RunValue less = run_values("SequenceErase", {more})[0];
  EXPECT_EQ(run_values("SequenceLength", {less})[0].tensor.item<int64_t>(), 2);
  EXPECT_EQ(one.sequence->size(), 2U);
  EXPECT_THROW(run_values("SequenceAt", {one, number(2)}), ModelError);
}

TEST(Sequence, SplitThenConcatIsIdentity) {
  const Tensor x = at::arange(10, at::kLong).reshape({5, 2});
  const RunValue parts = run_values("SplitToSequence", {x, number(2)})[0];
  EXPECT_EQ(parts.sequence->size(), 3U);
  expect_equal(run_values("ConcatFromSequence", {parts}, {{"axis", int64_t{0}}})[0].tensor, x);
}

TEST(Sequence, EmptyOptionalsHaveNoElement) {
  const RunValue none = run_values("Optional", {})[0];
  EXPECT_FALSE(run_values("OptionalHasElement", {none})[0].tensor.item<bool>());
  EXPECT_THROW(run_values("OptionalGetElement", {none}), ModelError);
}

}  // namespace
}  // namespace niwaki
