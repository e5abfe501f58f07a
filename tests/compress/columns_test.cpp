#include "compress/columns.h"

#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

/// x [n, 4, 7, 6] -> Conv with uneven strides, pads, dilations and 2 groups.
Graph conv_net(const std::map<std::string, Attribute>& attributes) {
  GraphBuilder b;
  const ValueId x = b.input("x", {std::string("n"), int64_t{4}, int64_t{7}, int64_t{6}});
  b.output(b.node("Conv", {x, b.random_constant("w", {6, 2, 3, 2})}, attributes));
  return b.graph();
}

/// The node, computed from its columns, at all positions: [groups, T, out].
Tensor by_columns(const Graph& graph, const LinearView& view, const Tensor& x) {
  const Tensor weight = values(*graph.constant(view.weight)).reshape({view.groups, -1, view.kind == LinearKind::conv ? 12 : 4});
  return at::bmm(read_columns(graph, view, x, {}, 0), weight.transpose(1, 2));
}

TEST(Columns, TimesTheWeightAreTheOutput) {
  for (const std::map<std::string, Attribute>& attributes : std::vector<std::map<std::string, Attribute>>{
           {{"group", int64_t{2}}, {"strides", std::vector<int64_t>{2, 1}}, {"pads", std::vector<int64_t>{1, 0, 0, 2}}, {"dilations", std::vector<int64_t>{1, 2}}},
           {{"group", int64_t{2}}, {"auto_pad", std::string("SAME_LOWER")}, {"strides", std::vector<int64_t>{2, 2}}},
           {{"group", int64_t{2}}, {"auto_pad", std::string("SAME_UPPER")}, {"strides", std::vector<int64_t>{2, 3}}}}) {
    const Graph graph = conv_net(attributes);
    const LinearView view = linear_views(graph)[0];
    const Tensor x = random_tensor({3, 4, 7, 6}), y = run_graph(graph, {x})[0];
    ASSERT_TRUE(has_columns(graph, view));
    EXPECT_LT(relative_difference(by_columns(graph, view, x), read_targets(graph, view, y, {}, 0)), 1e-6);
  }
}

TEST(Columns, AndTargetsAreReadAtTheSamePlaces) {
  const Graph graph = conv_net({{"group", int64_t{2}}});
  const LinearView view = linear_views(graph)[0];
  const Tensor x = random_tensor({5, 4, 7, 6}), y = run_graph(graph, {x})[0];
  const PositionLimit limit{.limit = 6, .seed = 3};
  const Tensor columns = read_columns(graph, view, x, limit, 10), targets = read_targets(graph, view, y, limit, 10);
  EXPECT_EQ(columns.sizes(), (std::vector<int64_t>{2, 30, 12}));
  const Tensor weight = values(*graph.constant(view.weight)).reshape({2, 3, 12});
  EXPECT_LT(relative_difference(at::bmm(columns, weight.transpose(1, 2)), targets), 1e-6);
  // the places of a sample follow from its number, not from its batch
  const Tensor alone = read_columns(graph, view, x.narrow(0, 2, 1), limit, 12);
  EXPECT_TRUE(at::equal(alone, columns.narrow(1, 12, 6)));
  EXPECT_FALSE(at::equal(read_columns(graph, view, x.narrow(0, 2, 1), limit, 11), alone));
}

TEST(Columns, SumLikeTheColumnsThemselves) {
  const Graph graph = conv_net({{"group", int64_t{2}}, {"pads", std::vector<int64_t>{1, 1, 1, 1}}});
  const LinearView view = linear_views(graph)[0];
  const Tensor x = random_tensor({3, 4, 7, 6});
  int64_t count = 0;
  const Tensor sums = sum_columns(graph, view, x, count), columns = read_columns(graph, view, x, {}, 0);
  EXPECT_EQ(count, columns.size(1));
  EXPECT_LT(relative_difference(sums, columns.to(at::kDouble).sum(1).reshape({-1})), 1e-6);
}

TEST(Columns, OfAMatMulAreItsTokens) {
  GraphBuilder b;
  const ValueId x = b.input("x", {std::string("n"), int64_t{5}, int64_t{4}});
  b.output(b.node("MatMul", {x, b.random_constant("w", {4, 3})}));
  const Graph graph = b.graph();
  const LinearView view = linear_views(graph)[0];
  const Tensor samples = random_tensor({2, 5, 4});
  EXPECT_TRUE(at::equal(read_columns(graph, view, samples, {.limit = 1}, 0), samples.reshape({1, 10, 4})));
}

TEST(Columns, KeysTellWindowsApart) {
  GraphBuilder b;
  const ValueId x = b.input("x", {1, 4, 8, 8});
  const ValueId w = b.random_constant("w", {4, 4, 3, 3}), v = b.random_constant("v", {2, 4, 3, 3});
  b.output(b.node("Conv", {x, w}));
  b.output(b.node("Conv", {x, v}));
  b.output(b.node("Conv", {x, w}, {{"strides", std::vector<int64_t>{2, 2}}}));
  const Graph graph = b.graph();
  const auto views = linear_views(graph);
  EXPECT_EQ(columns_key(graph, views[0]), columns_key(graph, views[1]));
  EXPECT_NE(columns_key(graph, views[0]), columns_key(graph, views[2]));
}

}  // namespace
}  // namespace niwaki
