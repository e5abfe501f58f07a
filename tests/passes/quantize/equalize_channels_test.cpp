#include "passes/quantize/equalize_channels.h"

#include "compress/graph_edit.h"
#include "compress/graph_text.h"
#include "tests/apply_pass.h"
#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

/// Random weights whose rows are 4^i apart.
Tensor uneven(std::vector<int64_t> sizes, uint64_t seed) {
  const Tensor numbers = random_tensor(sizes, seed);
  std::vector<int64_t> shape(sizes.size(), 1);
  shape[0] = sizes[0];
  return numbers * at::pow(4, at::arange(sizes[0], at::kFloat)).reshape(shape);
}

Tensor ranges(const Graph& graph, const std::string& name, std::vector<int64_t> kept) {
  const Tensor weight = values(*graph.constant(*graph.find_value(name))).abs();
  std::vector<int64_t> others;
  for (int64_t i = 0; i < weight.dim(); ++i) {
    if (std::find(kept.begin(), kept.end(), i) == kept.end()) others.push_back(i);
  }
  return weight.amax(others);
}

void expect_same_outputs(const Applied& applied, const Tensor& x) {
  EXPECT_LT(relative_difference(run_graph(applied.after, {x})[0], run_graph(applied.before, {x})[0]), 1e-6);
}

TEST(EqualizeChannels, MakesBothSidesEqual) {
  GraphBuilder b;
  const ValueId h = b.node("Relu", {b.node("Conv", {b.input("x", {1, 3, 5, 5}), b.constant("w", uneven({4, 3, 3, 3}, 1)), b.random_constant("b", {4})}, {}, "first")});
  b.output(b.node("Conv", {h, b.random_constant("v", {5, 4, 1, 1})}, {}, "second"), "y");
  const Applied applied = apply_pass("equalize_channels", b.graph());
  EXPECT_TRUE(at::allclose(ranges(applied.after, "w", {0}), ranges(applied.after, "v", {1}), 1e-5, 0));
  const Tensor wanted = (ranges(applied.before, "w", {0}) * ranges(applied.before, "v", {1})).sqrt();
  EXPECT_TRUE(at::allclose(ranges(applied.after, "w", {0}), wanted, 1e-5, 0));
  expect_same_outputs(applied, random_tensor({1, 3, 5, 5}));
}

TEST(EqualizeChannels, MakesADepthwiseTripleEqual) {
  GraphBuilder b;
  const ValueId h = b.node("Relu", {b.node("Conv", {b.input("x", {1, 3, 5, 5}), b.constant("w", uneven({4, 3, 1, 1}, 1))})});
  const ValueId g = b.node("Relu", {b.node("Conv", {h, b.constant("k", uneven({4, 1, 3, 3}, 2)), b.random_constant("b", {4})}, {{"group", int64_t{4}}})});
  b.output(b.node("Conv", {g, b.random_constant("v", {5, 4, 1, 1})}), "y");
  const Applied applied = apply_pass("equalize_channels", b.graph(), {{"sweeps", 30}});
  const Tensor wanted = (ranges(applied.before, "w", {0}) * ranges(applied.before, "k", {0}) * ranges(applied.before, "v", {1})).pow(1.0 / 3);
  for (const auto& [name, axis] : std::vector<std::pair<std::string, int64_t>>{{"w", 0}, {"k", 0}, {"v", 1}}) {
    EXPECT_TRUE(at::allclose(ranges(applied.after, name, {axis}), wanted, 1e-4, 0)) << name;
  }
  expect_same_outputs(applied, random_tensor({1, 3, 5, 5}));
}

TEST(EqualizeChannels, ScalesAllMembersOfAResidualStream) {
  GraphBuilder b;
  const ValueId stem = b.node("Conv", {b.input("x", {1, 3, 4, 4}), b.constant("w0", uneven({4, 3, 1, 1}, 1))}, {}, "stem");
  const ValueId inner = b.node("Relu", {b.node("Conv", {stem, b.random_constant("w1", {6, 4, 1, 1})}, {}, "inner")});
  const ValueId sum = b.node("Add", {stem, b.node("Conv", {inner, b.constant("w2", uneven({4, 6, 1, 1}, 2)), b.random_constant("b2", {4})}, {}, "outer")});
  b.output(b.node("Conv", {b.node("Relu", {sum}), b.random_constant("w3", {2, 4, 1, 1})}, {}, "head"), "y");
  const Applied applied = apply_pass("equalize_channels", b.graph());
  const Tensor before = ranges(applied.before, "w0", {0}), after = ranges(applied.after, "w0", {0});
  EXPECT_LT((after.max() / after.min()).item<float>(), (before.max() / before.min()).item<float>() / 4);
  expect_same_outputs(applied, random_tensor({1, 3, 4, 4}));
}

TEST(EqualizeChannels, KeepsReluSixExactWithAMinPerChannel) {
  GraphBuilder b;
  const ValueId conv = b.node("Conv", {b.input("x", {1, 3, 5, 5}), b.constant("w", uneven({4, 3, 3, 3}, 1))}, {}, "first");
  const ValueId h = b.node("Clip", {conv, b.constant("low", at::zeros({})), b.constant("high", at::full({}, 6.0))}, {}, "relu6");
  b.output(b.node("Conv", {h, b.random_constant("v", {5, 4, 1, 1})}), "y");
  const Applied alone = apply_pass("equalize_channels", b.graph());
  EXPECT_EQ(alone.report.reason("first"), "node 'relu6' (Clip): Clip has an upper bound, which would be another in each channel");
  EXPECT_EQ(text(alone.after), text(alone.before));
  const Applied split = apply_pass("equalize_channels", b.graph(), {{"split_clips", true}});
  EXPECT_TRUE(at::allclose(ranges(split.after, "w", {0}), ranges(split.after, "v", {1}), 1e-5, 0));
  expect_same_outputs(split, random_tensor({1, 3, 5, 5}));
}

TEST(EqualizeChannels, LeavesDeadChannelsAndFrozenOnesAlone) {
  GraphBuilder b;
  Tensor weight = random_tensor({4, 3}, 1);
  weight[2].zero_();
  const ValueId h = b.node("Gemm", {b.input("x", {1, 3}), b.constant("w", weight)}, {{"transB", int64_t{1}}}, "first");
  b.output(b.node("Gemm", {b.node("Relu", {h}), b.random_constant("v", {4, 2})}, {}, "second"), "y");
  const Applied applied = apply_pass("equalize_channels", b.graph());
  EXPECT_EQ(applied.report.reason("second"), "");
  EXPECT_TRUE(at::equal(values(*applied.after.constant(*applied.after.find_value("v")))[2], values(*applied.before.constant(*applied.before.find_value("v")))[2]));
  expect_same_outputs(applied, random_tensor({1, 3}));
  GraphBuilder seen;
  const ValueId first = seen.node("Gemm", {seen.input("x", {1, 3}), seen.random_constant("w", {3, 4})}, {}, "first");
  seen.output(first, "h");
  seen.output(seen.node("Gemm", {first, seen.random_constant("v", {4, 2})}, {}, "second"), "y");
  const Applied frozen = apply_pass("equalize_channels", seen.graph());
  EXPECT_FALSE(frozen.report.changed);
  EXPECT_EQ(frozen.report.reason("first"), "its channels are tied to an output or to a node without a rule");
}

TEST(EqualizeChannels, LeavesChannelsAloneThatAreAlike) {
  GraphBuilder b;
  const ValueId h = b.node("Relu", {b.node("Conv", {b.input("x", {1, 3, 5, 5}), b.constant("w", uneven({4, 3, 3, 3}, 1))}, {}, "first")});
  const ValueId g = b.node("Relu", {b.node("Conv", {h, b.random_constant("u", {6, 4, 3, 3})}, {}, "second")});
  b.output(b.node("Conv", {g, b.random_constant("v", {5, 6, 1, 1})}, {}, "third"), "y");
  const Applied applied = apply_pass("equalize_channels", b.graph(), {{"least_spread", 5}});
  EXPECT_EQ(applied.report.reason("third"), "its channels are tied to an output or to a node without a rule");
  EXPECT_TRUE(at::equal(ranges(applied.after, "v", {1}), ranges(applied.before, "v", {1})));
  EXPECT_FALSE(at::allclose(ranges(applied.after, "w", {0}), ranges(applied.before, "w", {0})));
  expect_same_outputs(applied, random_tensor({1, 3, 5, 5}));
  EXPECT_FALSE(apply_pass("equalize_channels", applied.after, {{"least_spread", 5}}).report.changed);
}

TEST(EqualizeChannels, RefusesSweepsBelowOne) {
  GraphBuilder b;
  b.output(b.node("Relu", {b.input("x", {1})}), "y");
  try {
    apply_pass("equalize_channels", b.graph(), {{"sweeps", 0}});
    FAIL();
  } catch (const UsageError& error) {
    EXPECT_EQ(error.code(), "E2008");
    EXPECT_EQ(error.message(), "option 'sweeps' is 0; needed 1 to 50");
  }
}

}  // namespace
}  // namespace niwaki
