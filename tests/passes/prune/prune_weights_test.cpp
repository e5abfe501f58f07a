#include "passes/prune/prune_weights.h"

#include "compress/dataset.h"
#include "compress/graph_text.h"
#include "compress/linear_view.h"
#include "compress/parallel.h"
#include "formats/samples.h"
#include "tests/apply_pass.h"
#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

/// A small net with a depthwise Conv, a Conv without a bias, tied products and a classifier.
Graph net() {
  GraphBuilder b;
  const std::vector<int64_t> same = {1, 1, 1, 1};
  const auto weight = [&](const std::string& name, std::vector<int64_t> sizes) { return b.constant(name, random_tensor(sizes, name.size()) / 3); };
  ValueId x = b.input("x", {std::string("n"), int64_t{8}, int64_t{8}, int64_t{8}});
  x = b.node("Relu", {b.node("Conv", {x, weight("c1.w", {16, 8, 3, 3}), b.random_constant("c1.b", {16})}, {{"pads", same}}, "c1")});
  x = b.node("Relu", {b.node("Conv", {x, weight("dw.weight", {16, 1, 3, 3})}, {{"pads", same}, {"group", int64_t{16}}}, "dw")});
  x = b.node("Flatten", {b.node("AveragePool", {x}, {{"kernel_shape", std::vector<int64_t>{4, 4}}, {"strides", std::vector<int64_t>{4, 4}}})});
  x = b.node("Relu", {b.node("Gemm", {x, weight("fc.we", {64, 32}), b.random_constant("fc.b", {32})}, {}, "fc")});
  const ValueId tied = weight("tied", {32, 32});
  x = b.node("MatMul", {b.node("Relu", {b.node("MatMul", {x, tied}, {}, "t1")}), tied}, {}, "t2");
  b.output(b.node("Gemm", {x, weight("head", {32, 10}), b.random_constant("hb", {10})}, {}, "last"), "y");
  return b.graph();
}
Tensor samples(int64_t count = 40) { return random_tensor({count, 8, 8, 8}, 3).abs(); }

Applied pruned(const Graph& graph, const Json& options) {
  const Dataset data(graph, samples_of({{"x", samples()}}), {.batch = 8}, "data");
  return apply_pass("prune_weights", graph, options, &data);
}

struct Count {
  int64_t zeros = 0, size = 0, layers = 0;
};
Count count(const Applied& applied) {
  Count sum;
  std::set<ValueId> seen;
  for (const LinearView& view : linear_views(applied.after)) {
    const Tensor w = values(*applied.after.constant(view.weight)), was = values(*applied.before.constant(view.weight));
    if (at::equal(w, was) || !seen.insert(view.weight).second) continue;
    EXPECT_FALSE(((w == 0) & w.signbit()).any().item<bool>());
    sum.zeros += (w == 0).sum().item<int64_t>();
    sum.size += w.numel();
    ++sum.layers;
  }
  return sum;
}
double error(const Applied& applied) {
  const Tensor x = random_tensor({16, 8, 8, 8}, 77).abs();
  return (run_graph(applied.after, {x})[0] - run_graph(applied.before, {x})[0]).square().sum().item<double>();
}

TEST(PruneWeights, CountsAreExact) {                        // T12
  for (const double sparsity : {0.3, 0.5, 0.77}) {
    for (const char* allocation : {"auto", "uniform"}) {
      const Count found = count(pruned(net(), {{"sparsity", sparsity}, {"allocation", allocation}}));
      EXPECT_LE(std::abs(static_cast<double>(found.zeros) - sparsity * static_cast<double>(found.size)), static_cast<double>(found.layers));
      EXPECT_EQ(found.layers, sparsity > 0.5 ? 4 : 5);
    }
  }
}

TEST(PruneWeights, PatternsHold) {
  const Applied applied = pruned(net(), {{"pattern", "2:4"}});
  const Tensor w = values(*applied.after.constant(*applied.after.find_value("c1.w"))), m = values(*applied.after.constant(*applied.after.find_value("fc.we")));
  EXPECT_TRUE(((w.reshape({16, 2, 4, 9}) != 0).sum(2) == 2).all().item<bool>());
  EXPECT_TRUE(((m.reshape({16, 4, 32}) != 0).sum(1) == 2).all().item<bool>());
  EXPECT_EQ(applied.report.reason("dw"), "its weights have that pattern already, or too few inputs for it");
}

TEST(PruneWeights, EachMethodIsBetterThanTheOneBefore) {
  const Graph graph = net();
  const Json uniform = {{"sparsity", 0.6}, {"allocation", "uniform"}, {"importance", "magnitude"}, {"refit", false}};
  Json wanda = uniform, sparse = uniform, fitted = uniform;
  wanda["importance"] = "wanda";
  sparse["importance"] = "sparse_gpt";
  fitted["importance"] = "sparse_gpt";
  fitted["refit"] = true;
  const double magnitude_error = error(pruned(graph, uniform)), wanda_error = error(pruned(graph, wanda));
  const double sparse_error = error(pruned(graph, sparse)), fitted_error = error(pruned(graph, fitted));
  EXPECT_LT(sparse_error, std::min(wanda_error, magnitude_error));
  EXPECT_LT(fitted_error, sparse_error);
}

/// Two residual blocks; the sums are outputs, so that a test can see them.
Graph residual_net() {
  GraphBuilder b;
  const auto conv = [&](ValueId x, const std::string& name, int64_t inputs, uint64_t seed) {
    return b.node("Conv", {x, b.constant(name + ".w", random_tensor({8, inputs, 3, 3}, seed) / 6), b.random_constant(name + ".b", {8})},
                  {{"pads", std::vector<int64_t>{1, 1, 1, 1}}}, name);
  };
  ValueId x = b.node("Relu", {conv(b.input("x", {std::string("n"), int64_t{8}, int64_t{8}, int64_t{8}}), "stem", 8, 1)});
  uint64_t seed = 10;
  for (const std::string name : {"a", "b"}) {
    const ValueId hidden = b.node("Relu", {conv(x, name + "1", 8, ++seed)});
    const ValueId sum = b.node("Add", {x, conv(hidden, name + "2", 8, ++seed)}, {}, name);
    b.output(sum, name + ".sum");
    x = b.node("Relu", {sum});
  }
  return b.graph();
}

TEST(PruneWeights, BranchesMakeUpForTheStreamBesideThem) {
  const Applied applied = pruned(residual_net(), {{"sparsity", 0.5}});
  const auto before = run_graph(applied.before, {samples()}), after = run_graph(applied.after, {samples()});
  for (size_t i = 0; i < before.size(); ++i) {               // the bias matches the mean of the sum, not that of the branch
    EXPECT_LT((after[i] - before[i]).mean({0, 2, 3}).abs().max().item<double>(), 1e-3) << i;
    EXPECT_GT((after[i] - before[i]).abs().max().item<double>(), 0.01);
  }
}

TEST(PruneWeights, WorksWithoutCalibration) {
  const Applied applied = apply_pass("prune_weights", net(), {{"sparsity", 0.5}});
  ASSERT_EQ(applied.report.notes.size(), 1u);
  EXPECT_EQ(applied.report.notes[0], "N3010: there is no calibration data: the smallest weights of each layer go, and the others stay as they are");
  const Tensor before = values(*applied.before.constant(*applied.before.find_value("c1.w"))), after = values(*applied.after.constant(*applied.after.find_value("c1.w")));
  EXPECT_EQ((after == 0).sum().item<int64_t>(), 576);
  EXPECT_TRUE(at::equal(at::where(after == 0, before, after), before));
}

TEST(PruneWeights, LeavesAlone) {
  const Graph graph = net();
  const Applied above = pruned(graph, {{"sparsity", 0.6}});
  EXPECT_EQ(above.report.reason("last"), "the last layer stays dense above a sparsity of 0.5");
  const Applied none = pruned(graph, {{"sparsity", 0.0}});
  EXPECT_EQ(text(none.after), text(none.before));
  EXPECT_EQ(none.report.reason("c1"), "it has that many zeros already");
}

TEST(PruneWeights, RefusesBadOptions) {
  const auto message = [](const Json& options) {
    try {
      parse_options<PruneWeightsOptions>(options);
    } catch (const UsageError& error) {
      return error.message();
    }
    return std::string();
  };
  for (const char* pattern : {"4:2", "2:", ":4", "2:4x", "0:4", "both", ""}) EXPECT_NE(message({{"pattern", pattern}}), "") << pattern;
  EXPECT_EQ(message({{"pattern", "4:2"}}), "option 'pattern' is '4:2'; needed unstructured or N:M with N below M, as 2:4");
  EXPECT_EQ(message({{"pattern", "2:4"}, {"sparsity", 0.7}}), "pattern 2:4 means a sparsity of 0.5, not 0.7");
  EXPECT_EQ(message({{"sparsity", 1.5}}), "option 'sparsity' is 1.5; needed 0 to 1");
  EXPECT_EQ(message({{"pattern", "2:4"}, {"sparsity", 0.5}}), "");
}

TEST(PruneWeights, SecondRunChangesNothing) {
  for (const Json& options : {Json{{"sparsity", 0.5}}, Json{{"pattern", "2:4"}}}) {
    const Applied first = pruned(net(), options), second = pruned(first.after, options);
    EXPECT_EQ(text(second.after), text(second.before));
  }
}

TEST(PruneWeights, ZerosStay) {                             // T36
  const Applied first = pruned(net(), {{"sparsity", 0.4}}), second = pruned(first.after, {{"sparsity", 0.7}});
  for (const char* name : {"c1.w", "dw.weight", "fc.we", "tied"}) {
    const Tensor before = values(*first.after.constant(*first.after.find_value(name))), after = values(*second.after.constant(*second.after.find_value(name)));
    EXPECT_TRUE((after.masked_select(before == 0) == 0).all().item<bool>()) << name;
  }
}

TEST(PruneWeights, GlobalScopeCountsOverAllLayers) {
  const Applied applied = pruned(net(), {{"sparsity", 0.5}, {"scope", "global"}});
  const Count found = count(applied);
  EXPECT_LE(std::abs(2 * found.zeros - found.size), 2);
}

TEST(PruneWeights, SameBytesOnAnyNumberOfThreads) {         // T17
  set_num_threads(1);
  const std::string one = text(pruned(net(), {{"sparsity", 0.6}}).after);
  set_num_threads(2);
  EXPECT_EQ(text(pruned(net(), {{"sparsity", 0.6}}).after), one);
  set_num_threads(0);
}

}  // namespace
}  // namespace niwaki
