#include "passes/prune/reestimate_batch_norm.h"

#include "compress/dataset.h"
#include "compress/divergence.h"
#include "formats/samples.h"
#include "tests/apply_pass.h"
#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

ValueId norm(GraphBuilder& b, ValueId x, int64_t channels, const std::string& name, std::map<std::string, Attribute> attributes = {}) {
  return b.node("BatchNormalization",
                {x, b.constant(name + ".scale", at::ones({channels})), b.constant(name + ".shift", at::zeros({channels})),
                 b.random_constant(name + ".mean", {channels}), b.constant(name + ".variance", random_tensor({channels}, 9).square() + 0.5)},
                std::move(attributes), name);
}

/// Two of them behind each other, the first right behind the input: nothing folds.
Graph two_norms() {
  GraphBuilder b;
  const ValueId first = norm(b, b.input("x", {std::string("n"), int64_t{4}, int64_t{5}, int64_t{5}}), 4, "a");
  const ValueId conv = b.node("Conv", {b.node("Relu", {first}), b.random_constant("w", {6, 4, 3, 3})}, {}, "conv");
  b.output(conv, "h");
  b.output(norm(b, conv, 6, "b"), "y");
  return b.graph();
}
Dataset data_of(const Graph& graph, const Tensor& x, int64_t batch) { return Dataset(graph, samples_of({{"x", x}}), {.batch = batch}, "data"); }
Tensor statistic(const Graph& graph, const std::string& name) { return values(*graph.constant(*graph.find_value(name))).to(at::kDouble); }
Tensor rows_of(const Tensor& x) { return x.to(at::kDouble).transpose(0, 1).reshape({x.size(1), -1}); }

TEST(ReestimateBatchNorm, PoolsAllSamplesWhateverTheBatches) {       // T41
  const Graph graph = two_norms();
  const Tensor x = random_tensor({23, 4, 5, 5}, 1) * 3 + 100;        // a mean that would cost single sums their digits
  std::vector<Graph> found;
  for (const int64_t batch : {1, 4, 7, 23}) {
    const Dataset data = data_of(graph, x, batch);
    found.push_back(apply_pass("reestimate_batch_norm", graph, {}, &data).after);
  }
  for (const char* name : {"a.mean", "a.variance", "b.mean", "b.variance"}) {
    for (const Graph& one : found) EXPECT_TRUE(at::allclose(statistic(one, name), statistic(found[0], name), 1e-6, 1e-6)) << name;
  }
  EXPECT_TRUE(at::allclose(statistic(found[1], "a.mean"), rows_of(x).mean(1), 1e-6, 0));
  EXPECT_TRUE(at::allclose(statistic(found[1], "a.variance"), rows_of(x).var(1, /*unbiased=*/false), 1e-6, 0));
}

TEST(ReestimateBatchNorm, LaterNodesSeeWhatEarlierOnesBecame) {
  const Graph graph = two_norms();
  const Tensor x = random_tensor({16, 4, 5, 5}, 2) * 2 - 1;
  const Dataset data = data_of(graph, x, 5);
  const Applied applied = apply_pass("reestimate_batch_norm", graph, {}, &data);
  const auto outputs = run_graph(applied.after, {x});
  EXPECT_TRUE(at::allclose(statistic(applied.after, "b.mean"), rows_of(outputs[0]).mean(1), 1e-4, 1e-4));
  const Tensor y = rows_of(outputs[1]);
  EXPECT_LT(y.mean(1).abs().max().item<double>(), 1e-4);
  EXPECT_LT((y.var(1, false) - 1).abs().max().item<double>(), 1e-3);
  EXPECT_TRUE(at::equal(statistic(applied.after, "w"), statistic(graph, "w")));
  EXPECT_EQ(applied.report.changes.size(), 4U);
}

TEST(ReestimateBatchNorm, ConstantChannelsKeepTheirVariance) {
  GraphBuilder b;
  b.output(norm(b, b.input("x", {std::string("n"), int64_t{3}, int64_t{2}}), 3, "a"), "y");
  const Graph graph = b.graph();
  Tensor x = random_tensor({9, 3, 2}, 4);
  x.select(1, 1).fill_(2.5);
  const Dataset data = data_of(graph, x, 4);
  const Graph after = apply_pass("reestimate_batch_norm", graph, {}, &data).after;
  EXPECT_EQ(statistic(after, "a.mean")[1].item<double>(), 2.5);
  EXPECT_EQ(statistic(after, "a.variance")[1].item<double>(), statistic(graph, "a.variance")[1].item<double>());
}

TEST(ReestimateBatchNorm, SkipsTrainingModeAndComputedParameters) {
  GraphBuilder b;
  const ValueId x = b.input("x", {std::string("n"), int64_t{3}, int64_t{2}});
  const ValueId mean = b.node("Reshape", {b.node("ReduceMean", {x}, {{"axes", std::vector<int64_t>{0, 2}}}), b.constant("shape", at::tensor({3}, at::kLong))});
  const ValueId scale = b.constant("s", at::ones({3})), shift = b.constant("t", at::zeros({3})), variance = b.constant("v", at::ones({3}));
  b.output(b.node("BatchNormalization", {x, scale, shift, mean, variance}, {}, "computed"), "y");
  const Graph graph = b.graph();
  const Dataset data = data_of(graph, random_tensor({9, 3, 2}, 4), 9);
  const Applied applied = apply_pass("reestimate_batch_norm", graph, {}, &data);
  EXPECT_NE(applied.report.reason("computed").find("at run time"), std::string::npos);
  EXPECT_TRUE(applied.report.changes.empty());
}

/// Pre-activation: the norms read sums or other nodes' results, so that none folds.
Graph pre_activation() {
  GraphBuilder b;
  ValueId x = b.input("x", {std::string("n"), int64_t{8}, int64_t{6}, int64_t{6}});
  const std::vector<int64_t> same = {1, 1, 1, 1};
  for (int i = 0; i < 3; ++i) {
    const std::string name = std::string("b") + static_cast<char>('0' + i);
    const ValueId active = b.node("Relu", {norm(b, x, 8, name)});
    const ValueId weight = b.constant(name + ".w", random_tensor({8, 8, 3, 3}, static_cast<uint64_t>(i) + 20) / 6);
    x = b.node("Add", {x, b.node("Conv", {active, weight}, {{"pads", same}}, name + ".conv")}, {}, name + ".add");
  }
  const ValueId pooled = b.node("Flatten", {b.node("GlobalAveragePool", {b.node("Relu", {norm(b, x, 8, "last")})})});
  b.output(b.node("Gemm", {pooled, b.constant("head", random_tensor({8, 5}, 31)), b.random_constant("hb", {5})}, {}, "fc"), "y");
  return b.graph();
}

TEST(ReestimateBatchNorm, ImprovesANetThatWasCutByMagnitude) {
  const Graph plain = pre_activation();
  const Dataset data = data_of(plain, random_tensor({64, 8, 6, 6}, 5), 16);
  const Graph graph = apply_pass("reestimate_batch_norm", plain, {}, &data).after;     // as training would have left it
  const Graph cut = apply_pass("prune_weights", graph, {{"sparsity", 0.6}, {"importance", "magnitude"}, {"refit", false}}, &data).after;
  const Graph after = apply_pass("reestimate_batch_norm", cut, {}, &data).after;
  const Tensor unseen = random_tensor({64, 8, 6, 6}, 77), wanted = run_graph(graph, {unseen})[0];
  const auto error = [&](const Graph& one) { return (run_graph(one, {unseen})[0] - wanted).square().sum().item<double>(); };
  EXPECT_LT(error(after), 0.9 * error(cut));
}

TEST(ReestimateBatchNorm, PruningSettlesWhatDoesNotFold) {
  const Graph graph = pre_activation();
  const Dataset data = data_of(graph, random_tensor({64, 8, 6, 6}, 5), 16);
  const Applied applied = apply_pass("prune_weights", graph, {{"sparsity", 0.6}}, &data);
  const auto found = std::count_if(applied.report.nodes.begin(), applied.report.nodes.end(), [](const NodeReport& one) { return one.node == "last"; });
  EXPECT_EQ(found, 1);
}

TEST(ReestimateBatchNorm, SettlesOnlyWhereTheAnswersComeNearer) {
  const Graph plain = pre_activation();
  const Dataset data = data_of(plain, random_tensor({64, 8, 6, 6}, 5), 16);
  const Graph graph = apply_pass("reestimate_batch_norm", plain, {}, &data).after;
  Progress progress;
  const Answers answers(graph, data, 64, progress);
  Graph edited = graph;
  const ValueId weight = *edited.find_value("b0.w");
  edited.set_constant(weight, make_constant((values(*edited.constant(weight)) * 1.5).contiguous()));
  const double before = answers.divergence(edited, progress);
  PassReport report;
  PassContext context{.report = report, .progress = progress, .calibration = &data};
  settle_batch_norm(edited, graph, context);
  EXPECT_LE(answers.divergence(edited, progress), before);
  EXPECT_TRUE(at::equal(statistic(edited, "b0.mean"), statistic(graph, "b0.mean")));   // nothing in front of it changed
  EXPECT_EQ(report.nodes.size(), 3U);

  Graph same = graph;
  PassReport nothing;
  PassContext quiet{.report = nothing, .progress = progress, .calibration = &data};
  settle_batch_norm(same, graph, quiet);
  EXPECT_TRUE(nothing.nodes.empty());
}

}  // namespace
}  // namespace niwaki
