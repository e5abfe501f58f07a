#include "compress/ops/window.h"

#include "compress/error.h"
#include "tests/compress/ops/run_op.h"

#include <gmock/gmock.h>

namespace niwaki {
namespace {

using Ints = std::vector<int64_t>;
using testing::ElementsAre;

Window window_of(const Attributes& attributes, const Ints& sizes, const Ints& kernel) {
  Node node;
  node.op = "Conv";
  node.attributes = attributes;
  return read_window(OpCall{node, 11, {}, {}}, sizes, kernel);
}

TEST(Window, SamePutsTheOddElementBehindOrBefore) {
  const Window upper = window_of({{"auto_pad", "SAME_UPPER"}, {"strides", Ints{2}}}, {6}, {3});
  EXPECT_THAT(upper.begin, ElementsAre(0));
  EXPECT_THAT(upper.end, ElementsAre(1));
  EXPECT_THAT(upper.outputs, ElementsAre(3));
  const Window lower = window_of({{"auto_pad", "SAME_LOWER"}, {"strides", Ints{2}}}, {6}, {3});
  EXPECT_THAT(lower.begin, ElementsAre(1));
  EXPECT_FALSE(is_symmetric(lower));
}

TEST(Window, CeilStartsNoWindowBehindTheInput) {
  const Window window = window_of({{"ceil_mode", int64_t{1}}, {"strides", Ints{3}}, {"pads", Ints{0, 1}}}, {3}, {1});
  EXPECT_THAT(window.outputs, ElementsAre(1));
  const Window extended = window_of({{"ceil_mode", int64_t{1}}, {"strides", Ints{2}}}, {6}, {3});
  EXPECT_THAT(extended.outputs, ElementsAre(3));
  EXPECT_THAT(extended.extension, ElementsAre(1));
}

TEST(Window, RefusesWhatMakesNoSense) {
  EXPECT_THROW(window_of({{"strides", Ints{0}}}, {6}, {3}), ModelError);
  EXPECT_THROW(window_of({{"pads", Ints{1}}}, {6}, {3}), ModelError);
  EXPECT_THROW(window_of({{"auto_pad", "WRAP"}}, {6}, {3}), ModelError);
  EXPECT_THROW(window_of({}, {6, 6}, {3}), ModelError);
}

}  // namespace
}  // namespace niwaki
