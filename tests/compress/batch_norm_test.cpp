#include "compress/batch_norm.h"

#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

TEST(BatchNorm, SumsOfPartsAreThoseOfTheWhole) {
  const Tensor x = random_tensor({20, 3, 4, 4}, 1) * 2 + 1000, shift = at::full({3}, 1000.5, at::kDouble);
  ChannelSums sums;
  for (const int64_t first : {0, 7, 19}) sums.add(channel_sums(x.slice(0, first, first == 0 ? 7 : first == 7 ? 19 : 20), shift));
  const Tensor rows = x.to(at::kDouble).transpose(0, 1).reshape({3, -1});
  EXPECT_EQ(sums.count, 20 * 16);
  EXPECT_TRUE(at::allclose(sums.mean() + shift, rows.mean(1), 1e-12, 0));
  EXPECT_TRUE(at::allclose(sums.variance(), rows.var(1, /*unbiased=*/false), 1e-10, 0));
}

TEST(BatchNorm, SaysWhyStatisticsStay) {
  GraphBuilder b;
  const ValueId x = b.input("x", {"n", int64_t{2}}), ones = b.constant("ones", at::ones({2})), given = b.input("given", {2});
  const auto norm = [&](ValueId mean, std::map<std::string, Attribute> attributes) { return b.node("BatchNormalization", {x, given, ones, mean, ones}, std::move(attributes)); };
  for (const ValueId y : {norm(ones, {}), norm(given, {}), norm(ones, {{"training_mode", int64_t{1}}})}) b.output(y);
  const Graph graph = b.graph();
  const auto why = [&](size_t i) { return why_statistics_stay(graph, graph.main().nodes[i]); };
  EXPECT_TRUE(is_batch_norm(graph.node(graph.main().nodes[0])));
  EXPECT_EQ(why(0), "");
  EXPECT_EQ(why(1), "its statistics are computed at run time");
  EXPECT_EQ(why(2), "it computes statistics in training mode");
}

}  // namespace
}  // namespace niwaki
