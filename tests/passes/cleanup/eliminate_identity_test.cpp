#include "passes/cleanup/eliminate_identity.h"

#include "compress/graph_text.h"
#include "tests/apply_pass.h"
#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

using Make = std::function<ValueId(GraphBuilder&, ValueId)>;

ValueId ints(GraphBuilder& b, const std::string& name, std::vector<int64_t> numbers) { return b.constant(name, at::tensor(numbers, at::kLong)); }

/// Relu, the nodes of `make`, Exp: x [2, 4].
Graph between(const Make& make) {
  GraphBuilder b;
  const ValueId h = b.node("Relu", {b.input("x", {2, 4})});
  b.output(b.node("Exp", {make(b, h)}), "y");
  return b.graph();
}

const char* const kClean = "input x: float32 [2, 4]\nRelu_1 = Relu(x)\ny = Exp(Relu_1)\noutput y\n";

TEST(EliminateIdentity, RemovesWhatChangesNothing) {
  const std::vector<Make> cases = {
      [](GraphBuilder& b, ValueId h) { return b.node("Identity", {h}); },
      [](GraphBuilder& b, ValueId h) { return b.node("Dropout", {h}); },
      [](GraphBuilder& b, ValueId h) { return b.node("Cast", {h}, {{"to", int64_t{1}}}); },
      [](GraphBuilder& b, ValueId h) { return b.node("Transpose", {h}, {{"perm", std::vector<int64_t>{0, 1}}}); },
      [](GraphBuilder& b, ValueId h) { return b.node("Mul", {b.constant("c", at::ones({4})), h}); },
      [](GraphBuilder& b, ValueId h) { return b.node("Add", {h, b.constant("c", at::zeros({2, 1}))}); },
      [](GraphBuilder& b, ValueId h) { return b.node("Div", {h, b.constant("c", at::ones({}))}); },
      [](GraphBuilder& b, ValueId h) { return b.node("Sub", {h, b.constant("c", at::zeros({1}))}); },
      [](GraphBuilder& b, ValueId h) { return b.node("Reshape", {h, ints(b, "s", {2, -1})}); },
      [](GraphBuilder& b, ValueId h) { return b.node("Pad", {h, ints(b, "p", {0, 0, 0, 0})}); },
      [](GraphBuilder& b, ValueId h) { return b.node("Slice", {h, ints(b, "s", {0}), ints(b, "e", {4}), ints(b, "a", {1})}); },
      [](GraphBuilder& b, ValueId h) { return b.node("Concat", {h}, {{"axis", int64_t{1}}}); },
      [](GraphBuilder& b, ValueId h) { return b.node("Sum", {h}); },
  };
  for (size_t i = 0; i < cases.size(); ++i) {
    const Applied applied = apply_pass("eliminate_identity", between(cases[i]));
    EXPECT_EQ(text(applied.after), kClean) << "case " << i;
    EXPECT_FALSE(apply_pass("eliminate_identity", applied.after).report.changed);
  }
}

TEST(EliminateIdentity, LeavesWhatChangesSomething) {
  const std::vector<Make> cases = {
      [](GraphBuilder& b, ValueId h) { return b.node("Cast", {h}, {{"to", int64_t{11}}}); },
      [](GraphBuilder& b, ValueId h) { return b.node("Mul", {h, b.constant("c", at::ones({3, 2, 4}))}); },
      [](GraphBuilder& b, ValueId h) { return b.node("Div", {b.constant("c", at::ones({})), h}); },
      [](GraphBuilder& b, ValueId h) { return b.node("Sub", {b.constant("c", at::zeros({})), h}); },
      [](GraphBuilder& b, ValueId h) { return b.node("Slice", {h, ints(b, "s", {-1}), ints(b, "e", {-9}), ints(b, "a", {1}), ints(b, "t", {-1})}); },
      [](GraphBuilder& b, ValueId h) { return b.node("Transpose", {h}); },
      [](GraphBuilder& b, ValueId h) { return b.node("Add", {h, b.input("z", {2, 4})}); },
  };
  for (size_t i = 0; i < cases.size(); ++i) {
    const Applied applied = apply_pass("eliminate_identity", between(cases[i]));
    EXPECT_FALSE(applied.report.changed) << "case " << i;
  }
}

TEST(EliminateIdentity, LeavesANodeBetweenTwoEndsOfTheInterface) {
  GraphBuilder b;
  b.output(b.node("Identity", {b.input("x", {2})}, {}, "copy"), "y");
  const Applied applied = apply_pass("eliminate_identity", b.graph());
  EXPECT_EQ(applied.report.reason("copy"), "both ends are values of the interface");
  EXPECT_FALSE(applied.report.changed);
}

}  // namespace
}  // namespace niwaki
