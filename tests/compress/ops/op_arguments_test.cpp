#include "compress/ops/op_arguments.h"

#include "tests/compress/ops/run_op.h"

#include <gmock/gmock.h>

namespace niwaki {
namespace {

TEST(OpArguments, AxesAreCountedFromTheFront) {
  Node node;
  node.op = "Test";
  const OpCall call{node, 17, {}, {}};
  EXPECT_EQ(front_axis(call, -1, 3), 2);
  EXPECT_EQ(front_axes(call, {0, -1}, 3), (std::vector<int64_t>{0, 2}));
  EXPECT_THROW(front_axis(call, 3, 3), ModelError);
  EXPECT_THROW(front_axes(call, {2, -1}, 3), ModelError);
  EXPECT_THROW(front_axis(call, 0, 0), ModelError);
}

TEST(OpArguments, SizesHaveALimit) {
  Node node;
  node.op = "Test";
  const OpCall call{node, 17, {}, {}};
  check_sizes(call, {1 << 20, 1 << 10});
  check_sizes(call, {0, int64_t{1} << 62, int64_t{1} << 62});
  EXPECT_THROW(check_sizes(call, {1 << 20, 1 << 11}), ModelError);
  EXPECT_THROW(check_sizes(call, {int64_t{1} << 62, int64_t{1} << 62}), ModelError);
  EXPECT_THROW(check_sizes(call, {-1}), ModelError);
}

TEST(OpArguments, StringsMoveByTheirIndices) {
  const RunValue words = string_value({"a", "b", "c", "d"}, {2, 2});
  const RunValue moved = restored(words, movable(words).t());
  EXPECT_EQ(*moved.strings, (Strings{"a", "c", "b", "d"}));
}

}  // namespace
}  // namespace niwaki
