#include "compress/graph_text.h"

#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

Graph small(const std::string& node_name, float number) {
  GraphBuilder b;
  const ValueId w = b.constant("w", at::full({2, 1}, number));
  b.output(b.node("Gemm", {b.input("x", {"batch", int64_t{2}}), w}, {{"alpha", 0.5F}, {"transA", int64_t{0}}}, node_name), "y");
  return b.graph();
}

TEST(GraphText, SaysEveryLine) {
  EXPECT_EQ(text(small("fc", 0)),
            "input x: float32 [batch, 2]\n"
            "constant w: float32 [2, 1] af5570f5a1810b7a\n"
            "y = Gemm(x, w) alpha=0.5 transA=0\n"
            "output y\n");
}

TEST(GraphText, LeavesNodeNamesOut) { EXPECT_EQ(text(small("a", 1)), text(small("b", 1))); }

TEST(GraphText, TellsNumbersApart) { EXPECT_NE(text(small("a", 1)), text(small("a", 2))); }

}  // namespace
}  // namespace niwaki
