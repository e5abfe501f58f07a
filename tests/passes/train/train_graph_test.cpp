#include "passes/train/train_graph.h"

#include "compress/error.h"
#include "tests/passes/train/train_fixture.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

TEST(TrainGraph, OnlyWhatIsSelectedTrains) {
  Graph graph = small_net(8, 1);
  PassReport report;
  Progress progress;
  PassContext context{.report = report, .progress = progress, .only = {"second"}};
  const Training training = training_of(graph, graph.main().outputs, {}, context);
  EXPECT_EQ(training.trainable, (std::set<ValueId>{*graph.find_value("w2"), *graph.find_value("b2")}));
  PassContext nothing{.report = report, .progress = progress, .keep = {"*"}};
  EXPECT_THROW(training_of(graph, graph.main().outputs, {}, nothing), UnsupportedError);
}

/// Two norms that read one mean and one variance.
Graph with_norms() {
  GraphBuilder b;
  const ValueId mean = b.constant("mean", at::zeros({6})), variance = b.constant("variance", at::ones({6}));
  ValueId h = b.input("x", {"n", int64_t{6}});
  for (const std::string name : {"first", "second"}) {
    h = b.node("BatchNormalization", {h, b.random_constant(name + ".scale", {6}), b.random_constant(name + ".shift", {6}), mean, variance}, {}, name);
    h = b.node("MatMul", {b.node("Relu", {h}), b.random_constant(name + ".w", {6, 6})});
  }
  b.output(h, "y");
  return b.graph();
}

TEST(TrainGraph, StatisticsFollowTheDataFromLargeBatchesOn) {
  PassReport report;
  Progress progress;
  PassContext context{.report = report, .progress = progress};
  const auto norms = [&](TrainOptions options, PassContext& in) {
    Graph graph = with_norms();
    const Training training = training_of(graph, graph.main().outputs, options, in);
    EXPECT_TRUE(training.masks.empty());     // a mean of zeros is no pruned weight
    std::set<ValueId> statistics;
    for (const NodeId id : training.batch_norms) {
      for (const size_t i : {3, 4}) statistics.insert(graph.node(id).inputs[i]);
    }
    for (const ValueId id : statistics) EXPECT_TRUE(training.trainable.contains(id));
    EXPECT_EQ(statistics.size(), 2 * training.batch_norms.size());   // each has its own
    return training.batch_norms.size();
  };
  EXPECT_EQ(norms({}, context), 2u);
  EXPECT_EQ(norms({.batch = 31}, context), 0u);
  EXPECT_EQ(norms({.batch = 31, .batch_norm = BatchNormMode::train}, context), 2u);
  EXPECT_EQ(norms({.batch_norm = BatchNormMode::frozen}, context), 0u);
  EXPECT_EQ(norms({.qat = true}, context), 0u);
  PassContext half{.report = report, .progress = progress, .keep = {"first"}};
  EXPECT_EQ(norms({}, half), 1u);
  const TrainOptions both{.batch_norm = BatchNormMode::train, .qat = true};
  EXPECT_THROW(both.require_quantization(), UsageError);
}

TEST(TrainGraph, ThreeEpochsUnlessToldOtherwise) {
  PassReport report;
  Progress progress;
  const PassContext context{.report = report, .progress = progress, .seed = 5, .checkpoint = "state"};
  TrainOptions options;
  EXPECT_EQ(options.trainer(context).epochs, 3);
  EXPECT_EQ(options.trainer(context).seed, 5u);
  EXPECT_EQ(options.trainer(context).checkpoint, "state");
  options.steps = 10;
  EXPECT_EQ(options.trainer(context).epochs, 0);
}

}  // namespace
}  // namespace niwaki
