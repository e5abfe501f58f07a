#include "passes/train/block_rows.h"

#include "compress/parallel.h"
#include "passes/train/find_blocks.h"
#include "tests/passes/train/train_fixture.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

TEST(BlockRows, APartOfAModelRunsOnRowsAlone) {
  const Graph graph = small_net(12, 5);
  const Dataset data = samples_for(graph, graph, 50, false);
  const Rows inputs = input_rows(graph, data, 37);
  ASSERT_EQ(inputs.at("x").sizes(), (std::vector<int64_t>{37, 6}));
  const ValueId middle = graph.node(*graph.producer(*graph.find_value("y"))).inputs[0], end = *graph.find_value("y");
  const Dim batch = std::string("n");
  const Tensor hidden = RunnableBlock(block_graph(graph, ValueId::absent, middle), ValueId::absent, batch, inputs).run();
  const RunnableBlock second(block_graph(graph, middle, end), middle, batch, {{graph.value(middle).name, hidden}});
  const Tensor got = second.run(), want = run_graph(graph, {inputs.at("x")})[0];
  EXPECT_LT(relative_difference(got, want), 1e-6);
  EXPECT_GT(relative_difference(got, want.flip(0)), 1e-2);             // rows in another order are seen
}

TEST(BlockRows, ErrorsAreSharesOfTheVariance) {
  const Tensor wanted = random_tensor({100, 7}, 1) * 3 + 5, noise = random_tensor({100, 7}, 2);
  EXPECT_NEAR(variance_of(wanted), wanted.var(at::IntArrayRef{}, false).item<double>(), 1e-4);
  EXPECT_EQ(error_of(wanted, wanted), 0);
  EXPECT_NEAR(error_of(wanted + noise, wanted), (noise.square().mean() / wanted.var(at::IntArrayRef{}, false)).item<double>(), 1e-5);
  EXPECT_EQ(variance_of(at::full({4, 2}, 3.0F)), 1);
}

TEST(BlockRows, AreTheSameForAnyNumberOfThreads) {
  const Graph graph = small_net(12, 5);
  const Rows inputs = input_rows(graph, samples_for(graph, graph, 500, false), 500);
  const int threads = num_threads();
  std::vector<Tensor> made;
  std::vector<double> errors;
  for (const int count : {1, 3}) {
    set_num_threads(count);
    made.push_back(RunnableBlock(graph, ValueId::absent, std::string("n"), inputs).run());
    errors.push_back(error_of(made.back() * 1.1, made.back()));
  }
  set_num_threads(threads);
  EXPECT_TRUE(at::equal(made[0], made[1]));
  EXPECT_EQ(errors[0], errors[1]);
}

}  // namespace
}  // namespace niwaki
