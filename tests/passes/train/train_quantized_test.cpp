#include "passes/train/train_quantized.h"

#include "compress/error.h"
#include "tests/passes/train/train_fixture.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

/// A net that 4 bits with one scale per weight harm: rows of very different sizes.
Graph uneven(const Graph& trained) {
  Graph graph = trained;
  const Tensor factors = at::logspace(-0.8, 0.8, 24, 10.0).to(at::kFloat);
  graph.set_constant(*graph.find_value("w1"), make_constant((weight_of(graph, "w1") * factors).contiguous()));
  graph.set_constant(*graph.find_value("b1"), make_constant((weight_of(graph, "b1") * factors).contiguous()));
  graph.set_constant(*graph.find_value("w2"), make_constant((weight_of(graph, "w2") / factors.unsqueeze(1)).contiguous()));
  return graph;
}

const Json kNarrow = {{"bits", 4}, {"granularity", "per_tensor"}, {"placement", "all"}};

TEST(TrainQuantized, RecoversWhatFourBitsLose) {
  const Graph model = uneven(small_net(24, 10));
  const Dataset data = samples_for(model, model, 600, false);
  const Graph equal = apply_pass("equalize_channels", model, {{"least_spread", 3}}).after;
  const Graph plain = apply_pass("quantize_static", equal, kNarrow, &data).after;
  const Json options = {{"qat", true}, {"epochs", 6}, {"lr", 3e-3}, {"mode", "static"}, {"bits", 4}, {"granularity", "per_tensor"}};
  const Applied done = apply_pass("distill", model, options, &data, &data, &model);
  EXPECT_LT(done.report.details["epochs"].back()["validation_loss"], done.report.details["validation_before"]);
  EXPECT_EQ(done.report.details["fake_quantized"]["weights"], 2);
  EXPECT_GE(agreement(done.after, model), agreement(plain, model));
  const auto nodes = done.after.all_nodes();
  const auto count = [&](const std::string& op) { return std::count_if(nodes.begin(), nodes.end(), [&](NodeId id) { return done.after.node(id).op == op; }); };
  EXPECT_GE(count("QuantizeLinear"), 2);
  EXPECT_EQ(count("FakeQuantize") + count("TrainScale") + count("FakeQuantizeBias"), 0);
}

TEST(TrainQuantized, KeepsWhatQuantizeGivesWhereTrainingDoesNotHelp) {
  const Graph model = small_net(24, 10);
  const Dataset data = samples_for(model, model, 300, true);
  const Applied plain = apply_pass("store_weights", model, {{"bits", 8}});
  const Applied done = apply_pass("finetune", model, {{"qat", true}, {"mode", "storage"}, {"steps", 3}, {"lr", 50.0}}, nullptr, &data);
  ASSERT_EQ(done.report.details["best_epoch"], 0);
  const Tensor x = random_tensor({50, 6}, 3);
  EXPECT_TRUE(at::equal(run_graph(done.after, {x})[0], run_graph(plain.after, {x})[0]));
}

TEST(TrainQuantized, RefusesOptionsThatMeanNothing) {
  const Graph model = small_net(8, 1);
  const Dataset data = samples_for(model, model, 40, true);
  const auto code = [&](const Json& options) {
    try {
      apply_pass("finetune", model, options, &data, &data);
    } catch (const Error& error) {
      return error.code();
    }
    return std::string();
  };
  EXPECT_EQ(code({{"bits", 4}}), "E2013");
  EXPECT_EQ(code({{"qat", true}, {"bits", 5}}), "E2008");
  EXPECT_EQ(code({{"qat", true}, {"mode", "static"}, {"granularity", "per_block"}}), "E2013");
}

}  // namespace
}  // namespace niwaki
