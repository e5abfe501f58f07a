#include "passes/train/finetune.h"

#include "compress/error.h"
#include "compress/pipeline.h"
#include "passes/all_passes.h"
#include "tests/passes/train/train_fixture.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

TEST(Finetune, LearnsLabelsBehindASoftmax) {
  const Graph teacher = small_net(24, 10), fresh = small_net(24, 50, true);
  const Dataset data = samples_for(fresh, teacher, 600, true);
  const Applied done = apply_pass("finetune", fresh, {{"epochs", 15}, {"lr", 1e-2}}, nullptr, &data);
  EXPECT_GT(agreement(done.after, teacher), std::max(0.8, agreement(fresh, teacher) + 0.2));
  ASSERT_EQ(done.report.details["epochs"].size(), 15u);
  EXPECT_LT(done.report.details["epochs"].back()["train_loss"], 0.6 * done.report.details["epochs"].front()["train_loss"].get<double>());
  EXPECT_EQ(done.report.nodes.size(), 2u);
  EXPECT_EQ(done.report.changes.size(), 4u);
}

TEST(Finetune, KeepsZerosAndWhatItIsToldTo) {
  Graph sparse = small_net(24, 50);
  const ValueId w1 = *sparse.find_value("w1");
  const Tensor pruned = at::where(weight_of(sparse, "w1").abs() > 0.3, weight_of(sparse, "w1"), at::zeros({}));
  sparse.set_constant(w1, make_constant(pruned));
  const Graph teacher = small_net(24, 10);
  const Dataset data = samples_for(sparse, teacher, 200, true);
  const Applied done = apply_pass("finetune", sparse, {{"steps", 40}, {"lr", 1e-2}, {"optimizer", "sgd"}}, nullptr, &data);
  const Tensor trained = weight_of(done.after, "w1");
  EXPECT_TRUE(at::equal(trained.eq(0), pruned.eq(0)));
  EXPECT_FALSE(at::equal(trained, pruned));
}

/// Prunes, by `calibration` samples, and trains in one run; the reports of both.
std::vector<PassReport> prune_and_train(Graph& graph, const Dataset& data, const Json& prune, const Json& train, int64_t calibration = 400) {
  const std::vector<Pass> passes = {all_passes().make("prune_weights", prune), all_passes().make("eliminate_dead_nodes"), all_passes().make("finetune", train)};
  const Dataset few = data.head(calibration);
  Progress progress;
  return run(passes, graph, {.calibration = &few, .training = &data}, progress);
}

std::string method_of(const PassReport& report) {
  const auto pruned = std::find_if(report.nodes.begin(), report.nodes.end(), [](const NodeReport& node) { return node.outcome == Outcome::changed; });
  return pruned == report.nodes.end() ? "" : pruned->metrics.value("method", "");
}

int64_t zeros_of(const Graph& graph) { return weight_of(graph, "w1").eq(0).sum().item<int64_t>(); }

TEST(Finetune, RightBehindPruningMasksMove) {
  const Graph teacher = small_net(24, 10);
  const Dataset data = samples_for(teacher, teacher, 400, true);
  const Json train = {{"epochs", 20}, {"lr", 2e-2}};
  Graph moving = teacher, fixed = teacher, pattern = teacher;
  const auto reports = prune_and_train(moving, data, {{"sparsity", 0.7}}, train);
  EXPECT_TRUE(reports[0].may_regrow);
  ASSERT_EQ(reports[2].notes.size(), 2u);
  EXPECT_TRUE(reports[2].notes[1].starts_with("N3033: ")) << reports[2].notes[1];
  EXPECT_FALSE(reports[2].notes[1].starts_with("N3033: 0 ")) << reports[2].notes[1];

  Json kept = train;
  kept["regrow"] = "off";
  EXPECT_EQ(prune_and_train(fixed, data, {{"sparsity", 0.7}}, kept)[2].notes.size(), 1u);
  EXPECT_EQ(zeros_of(moving), zeros_of(fixed));
  EXPECT_FALSE(at::equal(weight_of(moving, "w1").eq(0), weight_of(fixed, "w1").eq(0)));

  const auto patterned = prune_and_train(pattern, data, {{"pattern", "2:4"}}, train);
  EXPECT_FALSE(patterned[0].may_regrow);
  EXPECT_EQ(patterned[2].notes.size(), 1u);
}

TEST(Finetune, IsNotPrecededByAFitToFewSamples) {
  const Graph teacher = small_net(24, 10);
  const Dataset data = samples_for(teacher, teacher, 400, true);
  for (const auto& [calibration, method] : {std::pair{400, "sparse_gpt + refit"}, std::pair{64, "magnitude"}}) {
    Graph graph = teacher;
    const PassReport report = prune_and_train(graph, data, {{"sparsity", 0.7}}, {{"steps", 1}}, calibration)[0];
    EXPECT_EQ(method_of(report), method);
    EXPECT_EQ(report.notes.empty(), calibration == 400);
    Graph asked = teacher;
    EXPECT_EQ(method_of(prune_and_train(asked, data, {{"sparsity", 0.7}, {"importance", "wanda"}}, {{"steps", 1}}, calibration)[0]), "wanda + refit");
  }
}

TEST(Finetune, MasksOfAnEarlierRunMoveWhenAsked) {
  Graph sparse = small_net(24, 50);
  sparse.set_constant(*sparse.find_value("w1"), make_constant(at::where(weight_of(sparse, "w1").abs() < 0.3, weight_of(sparse, "w1"), at::zeros({}))));
  const Dataset data = samples_for(sparse, small_net(24, 10), 400, true);
  const Applied done = apply_pass("finetune", sparse, {{"epochs", 20}, {"lr", 2e-2}, {"regrow", "on"}}, nullptr, &data);
  EXPECT_EQ(zeros_of(done.after), zeros_of(sparse));
  EXPECT_FALSE(at::equal(weight_of(done.after, "w1").eq(0), weight_of(sparse, "w1").eq(0)));
}

TEST(Finetune, RefusesAnUnknownOutputAndMissingLabels) {
  const Graph graph = small_net(8, 1);
  const Dataset with = samples_for(graph, graph, 20, true), without = samples_for(graph, graph, 20, false);
  const auto code = [&](const Json& options, const Dataset& data) {
    try {
      apply_pass("finetune", graph, options, nullptr, &data);
    } catch (const Error& error) {
      return error.code();
    }
    return std::string();
  };
  EXPECT_EQ(code({{"output_name", "z"}}, with), "E2007");
  EXPECT_EQ(code({}, without), "E1706");
  EXPECT_EQ(code({{"batch", 0}}, with), "E2008");
}

}  // namespace
}  // namespace niwaki
