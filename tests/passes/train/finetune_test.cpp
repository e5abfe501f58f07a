#include "passes/train/finetune.h"

#include "compress/error.h"
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
