#include "passes/prune/prune_blocks.h"

#include "compress/dataset.h"
#include "compress/divergence.h"
#include "compress/graph_text.h"
#include "compress/macs.h"
#include "compress/parallel.h"
#include "formats/samples.h"
#include "tests/apply_pass.h"
#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

const std::vector<int64_t> kSame = {1, 1, 1, 1};

ValueId conv(GraphBuilder& b, ValueId x, const std::string& name, std::vector<int64_t> sizes, double scale, int seed) {
  return b.node("Conv", {x, b.constant(name + ".w", random_tensor(sizes, seed) * scale), b.random_constant(name + ".b", {sizes[0]})}, {{"pads", kSame}}, name);
}

/// Four blocks; the branch of "b" is weak, so it matters least.
Graph net() {
  GraphBuilder b;
  ValueId x = b.input("x", {std::string("n"), int64_t{3}, int64_t{8}, int64_t{8}});
  x = b.node("Relu", {conv(b, x, "stem", {6, 3, 3, 3}, 0.3, 1)});
  int seed = 10;
  for (const std::string name : {"a", "b", "c", "d"}) {
    const ValueId hidden = b.node("Relu", {conv(b, x, name + "1", {6, 6, 3, 3}, 0.2, ++seed)});
    x = b.node("Relu", {b.node("Add", {x, conv(b, hidden, name + "2", {6, 6, 3, 3}, name == "b" ? 0.02 : 0.15, ++seed)}, {}, name)});
  }
  x = b.node("Flatten", {b.node("GlobalAveragePool", {x})});
  b.output(b.node("Gemm", {x, b.constant("head.w", random_tensor({6, 5}, 40))}, {}, "head"), "y");
  return b.graph();
}

Dataset data_of(const Graph& graph) { return Dataset(graph, samples_of({{"x", random_tensor({96, 3, 8, 8}, 3)}}), {.batch = 16}, "data"); }

Applied pruned(const Graph& graph, const Json& options) {
  const Dataset data = data_of(graph);
  return apply_pass("prune_blocks", graph, options, &data);
}

double divergence(const Applied& applied) {
  const Dataset data(applied.before, samples_of({{"x", random_tensor({64, 3, 8, 8}, 77)}}), {.batch = 16}, "data");
  Progress progress;
  return Answers(applied.before, data, 64, progress).divergence(applied.after, progress);
}

Json metrics(const Applied& applied, const std::string& node) {
  for (const NodeReport& one : applied.report.nodes) {
    if (one.node == node && one.outcome == Outcome::changed) return one.metrics;
  }
  return nullptr;
}

std::string refusal(const Json& options) {
  try {
    pruned(net(), options);
  } catch (const Error& error) {
    const std::string& found = error.details().found;
    return cat(error.code(), ": ", error.message(), found.empty() ? "" : "; ", found);
  }
  return "";
}

TEST(PruneBlocks, TakesOutWhatMattersLeast) {
  const Applied applied = pruned(net(), {{"macs_ratio", 0.85}});
  const Json found = metrics(applied, "b");
  ASSERT_TRUE(found.is_object());
  EXPECT_EQ(found["macs_saved"].get<double>(), 2 * 6 * 6 * 9 * 64);
  EXPECT_GT(found["divergence"].get<double>(), 0);
  EXPECT_LT(found["divergence_of_all_after_repair"].get<double>(), found["divergence"].get<double>());
  EXPECT_EQ(applied.report.reason("a"), "its block matters more than those that went");
  const KnownSizes before = observed_sizes(applied.before, data_of(applied.before)), after = observed_sizes(applied.after, data_of(applied.after));
  EXPECT_LE(total_macs(applied.after, after), 0.85 * total_macs(applied.before, before));
  EXPECT_EQ(applied.after.constant(*applied.before.find_value("b1.w")), nullptr);
}

TEST(PruneBlocks, RepairHelpsOnOtherSamples) {
  for (const double ratio : {0.8, 0.55}) {
    const double with = divergence(pruned(net(), {{"macs_ratio", ratio}})), without = divergence(pruned(net(), {{"macs_ratio", ratio}, {"refit", false}}));
    EXPECT_LT(with, 0.5 * without) << ratio;
  }
}

TEST(PruneBlocks, WithoutRepairKeptWeightsStay) {
  const Applied applied = pruned(net(), {{"sparsity", 0.3}, {"refit", false}});
  int64_t before = 0, after = 0;
  for (const ValueId id : applied.before.main().constants) before += element_count(*applied.before.constant(id));
  for (const ValueId id : applied.after.main().constants) {
    after += element_count(*applied.after.constant(id));
    EXPECT_TRUE(same_content(*applied.after.constant(id), *applied.before.constant(*applied.before.find_value(applied.after.value(id).name))));
  }
  EXPECT_LT(static_cast<double>(after), 0.71 * static_cast<double>(before));
}

TEST(PruneBlocks, KeepsWhatItIsToldToKeep) {
  const Graph graph = net();
  const Dataset data = data_of(graph);
  const auto attempt = [&](std::vector<std::string> keep, std::vector<std::string> only) {
    Applied applied{graph, graph, {}};
    Progress progress;
    PassContext context{.report = applied.report, .progress = progress, .calibration = &data, .keep = std::move(keep), .only = std::move(only)};
    prune_blocks(applied.after, {.macs_ratio = 0.85}, context);
    return applied;
  };
  const Applied kept = attempt({"b2"}, {});
  EXPECT_EQ(kept.report.reason("b"), "its block holds a node that --keep or --only leaves alone");
  EXPECT_TRUE(kept.after.find_value("b2.w"));
  const Applied only = attempt({}, {"d1", "d2"});
  EXPECT_TRUE(metrics(only, "d").is_object());
  EXPECT_TRUE(same_content(*only.after.constant(*only.after.find_value("head.w")), *graph.constant(*graph.find_value("head.w"))));
}

TEST(PruneBlocks, RefusesWhatItCannotReach) {
  EXPECT_EQ(refusal({{"macs_ratio", 0.01}}), "E3210: the target cannot be reached: --macs-ratio 0.01; needed at least 0.059 with 4 residual blocks that may go");
  EXPECT_EQ(refusal({{"macs_ratio", 0.5}, {"sparsity", 0.5}}), "E2013: macs_ratio and sparsity are two targets");
  EXPECT_EQ(refusal({{"macs_ratio", 0}}), "E2008: macs_ratio 0 is not in (0, 1]");
  EXPECT_EQ(refusal(Json::object()), "E2017: no target was given");
}

TEST(PruneBlocks, SecondRunChangesNothing) {
  Applied applied = pruned(net(), {{"macs_ratio", 0.8}});
  const double whole = total_macs(applied.before, observed_sizes(applied.before, data_of(applied.before)));
  const Dataset data = data_of(applied.after);
  const uint64_t revision = applied.after.revision();
  PassReport report;
  Progress progress;
  PassContext context{.report = report, .progress = progress, .calibration = &data, .original_macs = whole};
  prune_blocks(applied.after, {.macs_ratio = 0.8}, context);
  EXPECT_EQ(applied.after.revision(), revision);
  EXPECT_EQ(report.notes, Strings{"N3008: exact clean-up alone reached the target"});
}

/// Attention and the feed-forward part of a layer are blocks of their own, without Relus around.
TEST(PruneBlocks, LayersOfTransformersGo) {
  GraphBuilder b;
  ValueId x = b.input("x", {std::string("n"), int64_t{5}, int64_t{8}});
  const auto linear = [&](ValueId from, const std::string& name, std::vector<int64_t> sizes, double scale) {
    return b.node("Add", {b.node("MatMul", {from, b.constant(name + ".w", random_tensor(sizes, name.size() + 7 * name[0]) * scale)}, {}, name), b.random_constant(name + ".b", {sizes[1]})});
  };
  for (const std::string name : {"p", "q"}) {
    const double scale = name == "q" ? 0.02 : 0.3;
    const ValueId scores = b.node("Softmax", {b.node("MatMul", {linear(x, name + "query", {8, 8}, 0.3), b.node("Transpose", {linear(x, name + "key", {8, 8}, 0.3)}, {{"perm", std::vector<int64_t>{0, 2, 1}}})})});
    x = b.node("Add", {x, linear(b.node("MatMul", {scores, linear(x, name + "value", {8, 8}, 0.3)}), name + "out", {8, 8}, scale)}, {}, name + ".attention");
    x = b.node("Add", {linear(b.node("Relu", {linear(x, name + "up", {8, 16}, 0.3)}), name + "down", {16, 8}, scale), x}, {}, name + ".feed");
  }
  b.output(linear(x, "last", {8, 4}, 0.5), "y");
  const Graph graph = b.graph();
  const Dataset data(graph, samples_of({{"x", random_tensor({64, 5, 8}, 3)}}), {.batch = 16}, "data");
  const Applied applied = apply_pass("prune_blocks", graph, {{"macs_ratio", 0.6}}, &data);
  EXPECT_TRUE(metrics(applied, "q.attention").is_object());
  EXPECT_TRUE(metrics(applied, "q.feed").is_object());
  const Tensor other = random_tensor({16, 5, 8}, 9);
  const double repaired = relative_difference(run_graph(applied.after, {other})[0], run_graph(graph, {other})[0]);
  const Applied plain = apply_pass("prune_blocks", graph, {{"macs_ratio", 0.6}, {"refit", false}}, &data);
  EXPECT_LT(repaired, relative_difference(run_graph(plain.after, {other})[0], run_graph(graph, {other})[0]));
}

TEST(PruneBlocks, SameBytesOnAnyNumberOfThreads) {
  const int before = num_threads();
  set_num_threads(1);
  const Applied one = pruned(net(), {{"macs_ratio", 0.6}});
  set_num_threads(4);
  const Applied four = pruned(net(), {{"macs_ratio", 0.6}});
  set_num_threads(before);
  EXPECT_EQ(text(one.after), text(four.after));
  for (const ValueId id : one.after.main().constants) EXPECT_TRUE(same_content(*one.after.constant(id), *four.after.constant(id)));
}

}  // namespace
}  // namespace niwaki
