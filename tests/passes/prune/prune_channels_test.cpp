#include "passes/prune/prune_channels.h"

#include "compress/error.h"
#include "compress/graph_text.h"
#include "compress/macs.h"
#include "compress/node_work.h"
#include "compress/parallel.h"
#include "formats/samples.h"
#include "tests/apply_pass.h"
#include "tests/graph_builder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace niwaki {
namespace {

/// x -> Conv a (16) -> Relu -> Conv b (16) -> Relu -> pool -> Gemm c; `copies` channels of a repeat others up to noise.
Graph net(double noise = 0.01) {
  GraphBuilder b;
  Tensor w = random_tensor({16, 3, 3, 3}, 1);
  w.narrow(0, 8, 8) = w.narrow(0, 0, 8) + noise * random_tensor({8, 3, 3, 3}, 2);
  const ValueId x = b.input("x", {std::string("n"), int64_t{3}, int64_t{8}, int64_t{8}});
  const ValueId h = b.node("Relu", {b.node("Conv", {x, b.constant("w", w), b.constant("wb", random_tensor({16}, 3))}, {}, "a")});
  const ValueId g = b.node("Relu", {b.node("Conv", {h, b.constant("v", random_tensor({16, 16, 3, 3}, 4)), b.constant("vb", random_tensor({16}, 5))}, {}, "b")});
  const ValueId pooled = b.node("Flatten", {b.node("GlobalAveragePool", {g})});
  b.output(b.node("Gemm", {pooled, b.constant("u", random_tensor({4, 16}, 6)), b.constant("ub", random_tensor({4}, 7))}, {{"transB", int64_t{1}}}, "c"));
  return b.graph();
}

Dataset samples_for(const Graph& graph, int64_t count = 64) { return Dataset(graph, samples_of({{"x", random_tensor({count, 3, 8, 8}, 20)}}), {.batch = 8}, "data"); }

Applied pruned(const Graph& graph, Json options) {
  const Dataset data = samples_for(graph);
  return apply_pass("prune_channels", graph, options, &data);
}

double ratio_of(const Applied& applied) { return total_macs(applied.after, inferred_sizes(applied.after)) / total_macs(applied.before, inferred_sizes(applied.before)); }

double error_of(const Applied& applied) {
  const Tensor x = random_tensor({32, 3, 8, 8}, 30);
  return relative_difference(run_graph(applied.after, {x})[0], run_graph(applied.before, {x})[0]);
}

/// 64 channels in blocks of 16, so that each cut of 16 saves time, and less saves none.
Graph wide_net() {
  GraphBuilder b;
  const ValueId x = b.input("x", {std::string("n"), int64_t{16}, int64_t{8}, int64_t{8}});
  const ValueId h = b.node("Relu", {b.node("Conv", {x, b.constant("w", random_tensor({64, 16, 3, 3}, 1)), b.constant("wb", random_tensor({64}, 2))}, {}, "a")});
  b.output(b.node("Conv", {h, b.constant("v", random_tensor({16, 64, 3, 3}, 3)), b.constant("vb", random_tensor({16}, 4))}, {}, "b"));
  return b.graph();
}

TEST(PruneChannels, ReachesATimeOfTheTarget) {
  const auto time_of = [](const Graph& graph) {
    double sum = 0;
    for (const LinearView& view : linear_views(graph)) sum += float_cost_us(*linear_work(graph, view, inferred_sizes(graph)));
    return sum;
  };
  const Graph graph = wide_net();
  const Dataset data(graph, samples_of({{"x", random_tensor({16, 16, 8, 8}, 20)}}), {.batch = 8}, "data");
  const Applied applied = apply_pass("prune_channels", graph, {{"latency_ratio", 0.8}}, &data);
  EXPECT_LE(time_of(applied.after), 0.8 * time_of(graph));
  EXPECT_EQ(applied.after.constant(*applied.after.find_value("w"))->sizes[0], 48);
}

TEST(PruneChannels, ReachesTheTargetAndTakesCopiesFirst) {
  const Applied applied = pruned(net(), {{"macs_ratio", 0.55}, {"round_to", 8}});
  EXPECT_LE(ratio_of(applied), 0.55);
  EXPECT_EQ(applied.after.constant(*applied.after.find_value("w"))->sizes, (std::vector<int64_t>{8, 3, 3, 3}));
  EXPECT_LT(error_of(applied), 0.1);
  const auto& node = *std::find_if(applied.report.nodes.begin(), applied.report.nodes.end(), [](const NodeReport& one) { return one.node == "a"; });
  EXPECT_EQ(node.metrics["removed_outputs"].size(), 8u);
}

/// 24 hidden units that are mixtures of 8 inputs: any 8 of them tell all others.
Graph redundant_net() {
  GraphBuilder b;
  const ValueId x = b.input("x", {std::string("n"), int64_t{8}});
  const ValueId h = b.node("Gemm", {x, b.constant("w", random_tensor({24, 8}, 1)), b.constant("wb", random_tensor({24}, 2))}, {{"transB", int64_t{1}}}, "a");
  b.output(b.node("Gemm", {h, b.constant("v", random_tensor({4, 24}, 3)), b.constant("vb", random_tensor({4}, 4))}, {{"transB", int64_t{1}}}, "b"));
  return b.graph();
}

TEST(PruneChannels, RepairMakesUpForWhatOthersTell) {
  const Graph graph = redundant_net();
  const Dataset data(graph, samples_of({{"x", random_tensor({400, 8}, 20)}}), {.batch = 8}, "data");
  const auto error = [&](bool refit) {
    const Applied applied = apply_pass("prune_channels", graph, {{"macs_ratio", 0.5}, {"round_to", 1}, {"refit", refit}}, &data);
    const Tensor x = random_tensor({32, 8}, 30);
    return relative_difference(run_graph(applied.after, {x})[0], run_graph(applied.before, {x})[0]);
  };
  EXPECT_LT(error(true), 1e-3);
  EXPECT_GT(error(false), 0.1);
}

TEST(PruneChannels, WithoutRefitKeptWeightsStayBitForBit) {
  const Applied applied = pruned(net(0.5), {{"macs_ratio", 0.6}, {"round_to", 1}, {"refit", false}});
  const Tensor before = values(*applied.before.constant(*applied.before.find_value("w"))), after = values(*applied.after.constant(*applied.after.find_value("w")));
  for (int64_t row = 0; row < after.size(0); ++row) {
    bool is_found = false;
    for (int64_t i = 0; i < before.size(0); ++i) is_found |= at::equal(before[i], after[row]);
    EXPECT_TRUE(is_found) << row;
  }
}

TEST(PruneChannels, LeavesKeptNodesAlone) {
  const Graph graph = net();
  const Dataset data = samples_for(graph);
  Graph after = graph;
  PassReport report;
  Progress progress;
  PassContext context{.report = report, .progress = progress, .calibration = &data, .keep = {"b"}};
  prune_channels(after, {.macs_ratio = 0.5}, context);
  EXPECT_EQ(text(after), text(graph));      // every channel of this net touches b
  EXPECT_THAT(report.notes.front(), testing::StartsWith("N3001"));
}

TEST(PruneChannels, SaysWhatCanBeReached) {
  try {
    pruned(net(), {{"macs_ratio", 0.01}, {"round_to", 8}});
    FAIL() << "no error";
  } catch (const UnsupportedError& error) {
    EXPECT_EQ(error.code(), "E3210");
    EXPECT_THAT(error.details().found, testing::HasSubstr("needed at least 0."));
  }
}

TEST(PruneChannels, RefusesBadTargets) {
  const auto message = [](const PruneChannelsOptions& options) -> std::string {
    try {
      options.validate();
    } catch (const UsageError& error) {
      return error.message();
    }
    return "";
  };
  EXPECT_EQ(message({}), "no target was given");
  EXPECT_EQ(message({.macs_ratio = 0}), "macs_ratio 0 is not in (0, 1]");
  EXPECT_EQ(message({.macs_ratio = 0.5, .sparsity = 0.5}), "macs_ratio and sparsity are two targets");
}

TEST(PruneChannels, TakesWeightsAsABudgetAndOtherMeasuresOfWorth) {
  for (const char* importance : {"magnitude", "taylor", "obs"}) {
    const Applied applied = pruned(net(), {{"sparsity", 0.4}, {"round_to", 1}, {"importance", importance}});
    int64_t before = 0, after = 0;
    for (const char* name : {"w", "v", "u", "wb", "vb", "ub"}) {
      before += element_count(*applied.before.constant(*applied.before.find_value(name)));
      const auto id = applied.after.find_value(name);
      after += element_count(*applied.after.constant(*id));
    }
    EXPECT_LE(static_cast<double>(after), 0.6 * static_cast<double>(before)) << importance;
  }
}

TEST(PruneChannels, WritesTheSameBytesOnAnyNumberOfThreads) {
  set_num_threads(1);
  const Applied one = pruned(net(0.5), {{"macs_ratio", 0.6}});
  set_num_threads(4);
  const Applied four = pruned(net(0.5), {{"macs_ratio", 0.6}});
  set_num_threads(0);
  EXPECT_EQ(text(one.after), text(four.after));
  for (const char* name : {"w", "v", "u"}) EXPECT_TRUE(at::equal(values(*one.after.constant(*one.after.find_value(name))), values(*four.after.constant(*four.after.find_value(name))))) << name;
}

TEST(PruneChannels, PrunesByMagnitudeWithoutSamples) {
  const Applied applied = apply_pass("prune_channels", net(), {{"macs_ratio", 0.6}});
  EXPECT_LE(ratio_of(applied), 0.6);
}

TEST(PruneChannels, SaysWhereNothingCanGo) {
  GraphBuilder b;
  b.output(b.node("Gemm", {b.input("x", {2, 4}), b.random_constant("w", {4, 3})}));
  const Applied applied = apply_pass("prune_channels", b.graph(), {{"macs_ratio", 0.5}});
  EXPECT_FALSE(applied.report.changed);
  EXPECT_THAT(applied.report.notes.front(), testing::StartsWith("N3001"));
}

}  // namespace
}  // namespace niwaki
