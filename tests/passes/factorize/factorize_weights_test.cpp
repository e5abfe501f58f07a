#include "passes/factorize/factorize_weights.h"

#include "compress/error.h"
#include "compress/graph_text.h"
#include "compress/linear_view.h"
#include "compress/macs.h"
#include "compress/parallel.h"
#include "compress/runtime_worker.h"
#include "formats/samples.h"
#include "tests/apply_pass.h"
#include "tests/graph_builder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace niwaki {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

/// Inputs that vary in few directions, so that weights and outputs have other spectra.
Tensor inputs(int64_t count, uint64_t seed) {
  const Tensor mixed = random_tensor({count, 6}, seed).mm(random_tensor({6, 32}, 1)) + 0.05 * random_tensor({count, 32}, seed + 1) + 1;
  return mixed;
}

/// x [n, 32] -> Gemm a (48) -> Relu -> MatMul b + Add (40) -> Relu -> Gemm c (10).
Graph net() {
  GraphBuilder b;
  const ValueId x = b.input("x", {std::string("n"), int64_t{32}});
  const ValueId h = b.node("Relu", {b.node("Gemm", {x, b.constant("w", 0.15 * random_tensor({48, 32}, 2)), b.constant("wb", random_tensor({48}, 3))}, {{"transB", int64_t{1}}}, "a")});
  const ValueId product = b.node("MatMul", {h, b.constant("v", 0.15 * random_tensor({48, 40}, 4))}, {}, "b");
  const ValueId g = b.node("Relu", {b.node("Add", {product, b.constant("vb", random_tensor({40}, 5))}, {}, "b.add")});
  b.output(b.node("Gemm", {g, b.constant("u", 0.15 * random_tensor({40, 10}, 6)), b.constant("ub", random_tensor({10}, 7))}, {}, "c"), "y");
  return b.graph();
}

Dataset data_for(const Graph& graph, int64_t count = 256) { return Dataset(graph, samples_of({{"x", inputs(count, 20)}}), {.batch = 8}, "data"); }

Applied factorized(const Graph& graph, const Json& options, bool has_data = true) {
  const Dataset data = data_for(graph);
  return apply_pass("factorize_weights", graph, options, has_data ? &data : nullptr);
}

double macs_ratio(const Applied& applied) { return total_macs(applied.after, inferred_sizes(applied.after)) / total_macs(applied.before, inferred_sizes(applied.before)); }

double error_of(const Applied& applied) {
  const Tensor x = inputs(200, 50);
  const Tensor want = run_graph(applied.before, {x})[0];
  return (at::square(run_graph(applied.after, {x})[0] - want).sum() / at::square(want).sum()).item<double>();
}

const NodeReport& node_of(const Applied& applied, const std::string& name) {
  return *std::find_if(applied.report.nodes.begin(), applied.report.nodes.end(), [&](const NodeReport& one) { return one.node == name; });
}

TEST(FactorizeWeights, ReachesTheRatioAndKeepsNames) {
  const Applied applied = factorized(net(), {{"macs_ratio", 0.6}});
  EXPECT_LE(macs_ratio(applied), 0.6);
  EXPECT_LT(error_of(applied), 0.01);
  int num_factorized = 0;
  for (const NodeId id : applied.before.main().nodes) {
    const std::string label = applied.before.label(id);
    const auto& nodes = applied.after.main().nodes;
    const auto same = std::find_if(nodes.begin(), nodes.end(), [&](NodeId other) { return applied.after.label(other) == label; });
    ASSERT_NE(same, nodes.end()) << label;
    EXPECT_EQ(applied.after.value(applied.after.node(*same).outputs[0]).name, applied.before.value(applied.before.node(id).outputs[0]).name);
    num_factorized += applied.after.find_value(applied.before.value(applied.before.node(id).outputs[0]).name + ".first").has_value();
  }
  EXPECT_GE(num_factorized, 1);
}

TEST(FactorizeWeights, DataBeatPlainSvdAndTheRefitDoesNotHurt) {
  const double with_data = error_of(factorized(net(), {{"rank", 8}})), plain = error_of(factorized(net(), {{"rank", 8}}, false));
  EXPECT_LT(with_data, 0.5 * plain);
  EXPECT_LT(with_data, 1.01 * error_of(factorized(net(), {{"rank", 8}, {"refit", false}})));   // means are matched once, not twice
  EXPECT_THAT(factorized(net(), {{"rank", 8}}, false).report.notes, Contains(HasSubstr("N3012")));
}

TEST(FactorizeWeights, EnergyIsKept) {
  const Applied applied = factorized(net(), {{"energy", 0.98}, {"refit", false}});
  const NodeReport& node = node_of(applied, "a");
  ASSERT_EQ(node.outcome, Outcome::changed);
  EXPECT_GE(node.metrics["energy"].get<double>(), 0.98);
  EXPECT_EQ(node.metrics["rank"], 8);                                   // 6 directions hold nearly all
  EXPECT_LT(error_of(applied), 0.05);
  EXPECT_EQ(node_of(applied, "c").reason, "factors that keep this energy would be larger, compute more, or move the answer");
}

TEST(FactorizeWeights, ShareOfTheWeightsGoes) {
  const Applied applied = factorized(net(), {{"sparsity", 0.5}});
  const auto count = [](const Graph& graph) {
    int64_t sum = 0;
    for (const LinearView& view : linear_views(graph)) sum += element_count(*graph.constant(view.weight));
    return sum;
  };
  EXPECT_LE(2 * count(applied.after), count(applied.before));
}

/// q, k, v read one value; the weight `t` is used twice.
Graph attention_like() {
  GraphBuilder b;
  const ValueId x = b.input("x", {std::string("n"), int64_t{32}}), tied = b.constant("t", random_tensor({32, 32}, 8));
  const ValueId once = b.node("MatMul", {x, tied}, {}, "t1"), twice = b.node("MatMul", {b.node("Tanh", {once}), tied}, {}, "t2");
  ValueId sum = twice;
  for (const char* name : {"q", "k", "v"}) {
    const ValueId made = b.node("MatMul", {twice, b.constant(cat("w", name), random_tensor({32, 32}, static_cast<uint64_t>(name[0])))}, {}, name);
    sum = b.node("Add", {sum, made});
  }
  b.output(sum, "y");
  return b.graph();
}

TEST(FactorizeWeights, TiedAndSharedAreStoredOnce) {                    // T54
  const Applied applied = factorized(attention_like(), {{"rank", 8}});
  std::map<std::string, int> users;
  for (const NodeId id : applied.after.main().nodes) {
    const Node& node = applied.after.node(id);
    if (node.op == "MatMul") ++users[applied.after.value(node.inputs[1]).name];
  }
  EXPECT_EQ(users["t.first"], 2);
  EXPECT_EQ(users["t.last"], 2);
  EXPECT_EQ(users["wq.first"], 1);                                      // of all three
  EXPECT_FALSE(users.contains("wk.first"));
  EXPECT_EQ(users.size(), 6u);
  EXPECT_EQ(node_of(applied, "k").metrics["together_with"], 2);
}

TEST(FactorizeWeights, ConvolutionsKeepTheirOutputs) {
  GraphBuilder b;
  const ValueId x = b.input("x", {std::string("n"), int64_t{16}, int64_t{9}, int64_t{9}});
  Tensor w = at::einsum("or,rc->oc", {random_tensor({24, 8}, 1), random_tensor({8, 144}, 2)}).reshape({24, 16, 3, 3});
  b.output(b.node("Conv", {x, b.constant("w", w), b.constant("wb", random_tensor({24}, 3))},
                  {{"strides", std::vector<int64_t>{2, 1}}, {"pads", std::vector<int64_t>{1, 0, 1, 1}}}, "conv"), "y");
  const Graph graph = b.graph();
  const Dataset data(graph, samples_of({{"x", random_tensor({32, 16, 9, 9}, 5)}}), {.batch = 8}, "data");
  const Applied applied = apply_pass("factorize_weights", graph, {{"energy", 0.9999}}, &data);
  EXPECT_EQ(node_of(applied, "conv").metrics["form"], "columns");       // its rank is 8
  const Tensor sample = random_tensor({4, 16, 9, 9}, 7);
  EXPECT_LT(relative_difference(run_graph(applied.after, {sample})[0], run_graph(graph, {sample})[0]), 1e-4);
}

TEST(FactorizeWeights, ResultDoesNotDependOnThreads) {                  // T17
  std::string texts[2];
  for (int i = 0; i < 2; ++i) {
    set_num_threads(i == 0 ? 1 : 4);
    const Applied applied = factorized(net(), {{"macs_ratio", 0.6}});
    texts[i] = text(applied.after);
    for (const LinearView& view : linear_views(applied.after)) texts[i] += cat(values(*applied.after.constant(view.weight)).to(at::kDouble).sum().item<double>(), "\n");
  }
  set_num_threads(0);
  EXPECT_EQ(texts[0], texts[1]);
}

void expect_refused(const Json& options, const std::string& code) {
  try {
    factorized(net(), options);
    FAIL() << options.dump();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << options.dump();
  }
}

TEST(FactorizeWeights, RefusesBadTargets) {
  expect_refused(Json::object(), "E2017");
  expect_refused({{"macs_ratio", 0.0}}, "E2008");
  expect_refused({{"macs_ratio", 1.5}}, "E2008");
  expect_refused({{"energy", 0.9}, {"rank", 8}}, "E2013");
  expect_refused({{"macs_ratio", 0.01}}, "E3210");
}

TEST(FactorizeWeights, NothingToFactorizeIsSaid) {
  GraphBuilder b;
  const ValueId x = b.input("x", {std::string("n"), int64_t{32}});
  b.output(b.node("MatMul", {x, b.constant("w", at::full({32, 16}, std::nanf("")))}, {}, "bad"), "y");
  const Applied bad = factorized(b.graph(), {{"macs_ratio", 0.5}}, false);
  EXPECT_EQ(bad.report.reason("bad"), "its weight has numbers that are not finite");
  EXPECT_THAT(bad.report.notes, Contains(HasSubstr("N3001")));
  const Applied high = factorized(net(), {{"rank", 40}});
  EXPECT_THAT(high.report.notes, Contains(HasSubstr("N3001")));
  EXPECT_EQ(high.report.reason("a"), "factors of this rank would be larger, or compute more");
}

/// x [n, 1024] -> Gemm big -> Relu -> mean of 32 parts -> MatMul tiny [32, 32].
Graph big_and_tiny() {
  GraphBuilder b;
  const ValueId x = b.input("x", {std::string("n"), int64_t{1024}});
  const ValueId h = b.node("Relu", {b.node("Gemm", {x, b.random_constant("w", {1024, 1024}), b.random_constant("c", {1024})}, {}, "big")});
  const ValueId narrow = b.node("ReduceMean", {b.node("Reshape", {h, b.constant("sizes", at::tensor({-1, 32, 32}, at::kLong))})}, {{"axes", std::vector<int64_t>{1}}, {"keepdims", int64_t{0}}});
  b.output(b.node("MatMul", {narrow, b.random_constant("t", {32, 32})}, {}, "tiny"), "y");
  return b.graph();
}

#define SKIP_WITHOUT_RUNTIME() \
  if (RuntimeWorker probe; !probe.available()) GTEST_SKIP() << probe.reason()

TEST(FactorizeWeights, WhatIsMeasuredSlowerIsNotMade) {
  SKIP_WITHOUT_RUNTIME();
  const Applied small = apply_pass("factorize_weights", big_and_tiny(), {{"rank", 8}});
  EXPECT_EQ(node_of(small, "tiny").outcome, Outcome::changed);
  EXPECT_FALSE(node_of(small, "big").metrics.contains("measured_ms_before"));
  const Applied fast = apply_pass("factorize_weights", big_and_tiny(), {{"rank", 8}, {"goal", "fastest"}});
  ASSERT_EQ(node_of(fast, "big").outcome, Outcome::changed);
  EXPECT_LT(node_of(fast, "big").metrics["measured_ms_after"].get<double>(), node_of(fast, "big").metrics["measured_ms_before"].get<double>());
  ASSERT_EQ(node_of(fast, "tiny").outcome, Outcome::skipped);
  EXPECT_THAT(fast.report.reason("tiny"), MatchesRegex("measured: factors take [0-9.e-]+ ms, the node [0-9.e-]+ ms(, which is not certain)?"));
  EXPECT_TRUE(fast.after.constant(*fast.after.find_value("t")));
}

TEST(FactorizeWeights, TheOthersMeetTheBudgetOrItIsRefused) {
  SKIP_WITHOUT_RUNTIME();
  const Applied fast = apply_pass("factorize_weights", big_and_tiny(), {{"macs_ratio", 0.5}, {"goal", "fastest"}});
  EXPECT_LE(macs_ratio(fast), 0.5);
  EXPECT_EQ(node_of(fast, "tiny").outcome, Outcome::skipped);
  try {
    factorized(net(), {{"macs_ratio", 0.6}, {"goal", "fastest"}});      // nodes of microseconds
    FAIL();
  } catch (const UnsupportedError& error) {
    EXPECT_EQ(error.code(), "E3210");
    EXPECT_THAT(error.details().help, HasSubstr("--goal smallest"));
  }
  EXPECT_THAT(factorized(net(), {{"energy", 0.98}, {"goal", "fastest"}}).report.notes, Contains(HasSubstr("N3001")));
}

}  // namespace
}  // namespace niwaki
