#include "passes/train/train_graph.h"

#include "compress/error.h"
#include "tests/passes/train/train_fixture.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

TEST(TrainGraph, OnlyWhatIsSelectedTrains) {
  const Graph graph = small_net(8, 1);
  PassReport report;
  Progress progress;
  const PassContext context{.report = report, .progress = progress, .only = {"second"}};
  const Training training = training_of(graph, graph.main().outputs, {}, context);
  EXPECT_EQ(training.trainable, (std::set<ValueId>{*graph.find_value("w2"), *graph.find_value("b2")}));
  const PassContext nothing{.report = report, .progress = progress, .keep = {"*"}};
  EXPECT_THROW(training_of(graph, graph.main().outputs, {}, nothing), UnsupportedError);
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
