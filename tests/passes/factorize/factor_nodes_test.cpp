#include "passes/factorize/factor_nodes.h"

#include "compress/error.h"
#include "passes/factorize/table_units.h"
#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

using Ints = std::vector<int64_t>;

struct Net {
  Graph graph;
  LinearView view;
};

Net conv_net(const Ints& weight, std::map<std::string, Attribute> attributes) {
  GraphBuilder b;
  const int64_t groups = attributes.contains("group") ? std::get<int64_t>(attributes["group"]) : 1;
  const ValueId x = b.input("x", {int64_t{2}, weight[1] * groups, int64_t{17}, int64_t{14}});
  b.output(b.node("Conv", {x, b.random_constant("w", weight), b.constant("bias", random_tensor({weight[0]}, 9))}, std::move(attributes), "conv"), "y");
  Net net{b.graph(), {}};
  net.view = linear_views(net.graph).front();
  return net;
}

/// Difference of the outputs after the node became factors of this rank.
double difference(const Net& net, FactorForm form, int64_t rank, int64_t input_rank = 0) {
  const Constant& weight = *net.graph.constant(net.view.weight);
  FactoredLayer layer{.rows = weight_rows(net.view, values(weight)), .groups = net.view.groups};
  if (net.view.kind == LinearKind::conv) layer.kernel.assign(weight.sizes.begin() + 2, weight.sizes.end());
  LayerFactors factors(layer);
  Graph after = net.graph;
  FactorNodes(after).replace_uses({net.view}, form, factors.factors({.form = form, .rank = rank, .input_rank = input_rank}));
  EXPECT_EQ(after.node(net.view.node).outputs, net.graph.node(net.view.node).outputs);
  EXPECT_FALSE(after.find_value("w").has_value() && after.constant(*after.find_value("w")));   // the old weight is gone
  const Ints sizes = *known_sizes(net.graph.value(net.view.input));
  const Tensor x = random_tensor(sizes, 3);
  return relative_difference(run_graph(after, {x})[0], run_graph(net.graph, {x})[0]);
}

class ConvForms : public ::testing::TestWithParam<std::map<std::string, Attribute>> {};

TEST_P(ConvForms, FullRanksReproduceTheConvolution) {                   // T9
  const Net net = conv_net({10, 6, 3, 3}, GetParam());
  EXPECT_LT(difference(net, FactorForm::columns, 10), 1e-5);
  EXPECT_LT(difference(net, FactorForm::inputs, 6), 1e-5);
  EXPECT_LT(difference(net, FactorForm::spatial, 18), 1e-5);
  EXPECT_LT(difference(net, FactorForm::tucker, 10, 6), 1e-5);
  EXPECT_GT(difference(net, FactorForm::columns, 5), 1e-3);             // control
  EXPECT_GT(difference(net, FactorForm::spatial, 9), 1e-3);
  EXPECT_GT(difference(net, FactorForm::tucker, 6, 4), 1e-3);
}

INSTANTIATE_TEST_SUITE_P(Attributes, ConvForms, ::testing::Values(
    std::map<std::string, Attribute>{},
    std::map<std::string, Attribute>{{"strides", Ints{2, 3}}, {"pads", Ints{1, 0, 2, 1}}, {"dilations", Ints{2, 1}}, {"kernel_shape", Ints{3, 3}}},
    std::map<std::string, Attribute>{{"strides", Ints{3, 2}}, {"auto_pad", std::string("SAME_UPPER")}},
    std::map<std::string, Attribute>{{"auto_pad", std::string("SAME_LOWER")}, {"group", int64_t{1}}},
    std::map<std::string, Attribute>{{"auto_pad", std::string("VALID")}, {"dilations", Ints{1, 3}}}));

TEST(FactorNodes, GroupsKeepTheirOwnFactors) {                          // T9
  const Net net = conv_net({12, 5, 3, 3}, {{"group", int64_t{3}}, {"strides", Ints{2, 1}}, {"pads", Ints{1, 1, 1, 1}}});
  EXPECT_LT(difference(net, FactorForm::columns, 4), 1e-5);
  EXPECT_GT(difference(net, FactorForm::columns, 3), 1e-3);
}

TEST(FactorNodes, LinearNodesKeepTheirOrientation) {
  for (const int64_t turned : {0, 1}) {
    GraphBuilder b;
    const ValueId x = b.input("x", {int64_t{4}, int64_t{9}});
    const Ints sizes = turned != 0 ? Ints{7, 9} : Ints{9, 7};
    b.output(b.node("Gemm", {x, b.random_constant("w", sizes), b.constant("c", random_tensor({7}, 5))}, {{"transB", turned}}, "fc"), "y");
    Net net{b.graph(), {}};
    net.view = linear_views(net.graph).front();
    EXPECT_LT(difference(net, FactorForm::columns, 7), 1e-5);
    EXPECT_GT(difference(net, FactorForm::columns, 3), 1e-3);
  }
  GraphBuilder b;                                                       // channels last, three axes
  const ValueId x = b.input("x", {int64_t{2}, int64_t{5}, int64_t{9}});
  b.output(b.node("MatMul", {x, b.random_constant("w", {9, 12})}, {}, "product"), "y");
  Net net{b.graph(), {}};
  net.view = linear_views(net.graph).front();
  EXPECT_LT(difference(net, FactorForm::columns, 9), 1e-5);
}

TEST(FactorNodes, SharersReadOneFirstFactor) {
  GraphBuilder b;
  const ValueId x = b.input("x", {int64_t{3}, int64_t{8}});
  const ValueId q = b.node("MatMul", {x, b.constant("q", random_tensor({8, 6}, 1))}, {}, "Q");
  const ValueId k = b.node("Gemm", {x, b.constant("k", random_tensor({4, 8}, 2))}, {{"transB", int64_t{1}}}, "K");
  b.output(q, "yq");
  b.output(k, "yk");
  const Graph before = b.graph();
  const auto views = linear_views(before);
  std::vector<Tensor> rows;
  for (const LinearView& view : views) rows.push_back(weight_rows(view, values(*before.constant(view.weight))));
  LayerFactors factors(FactoredLayer{.rows = at::cat(rows)});
  Graph after = before;
  FactorNodes(after).replace_sharers(views, factors.factors({.rank = 8}));
  const Tensor input = random_tensor({3, 8}, 4);
  const auto want = run_graph(before, {input}), got = run_graph(after, {input});
  EXPECT_LT(relative_difference(got[0], want[0]), 1e-5);
  EXPECT_LT(relative_difference(got[1], want[1]), 1e-5);
  EXPECT_EQ(after.main().nodes.size(), 3u);                             // one first factor
}

/// Two Gathers of `ids` [n, 3] on one table [20, 8].
Graph two_readers(const Tensor& table) {
  GraphBuilder b;
  const ValueId ids = b.input("ids", {int64_t{2}, int64_t{3}}, DType::int64), t = b.constant("t", table);
  b.output(b.node("Gather", {t, ids}, {}, "one"), "y");
  b.output(b.node("Gather", {t, b.node("Neg", {ids}, {}, "minus")}, {}, "two"), "z");
  return b.graph();
}

Graph with_factors(const Graph& before, const Tensor& table, int64_t rank) {
  LayerFactors factors(FactoredLayer{.rows = at::eye(8, at::kDouble), .moments = table.t().mm(table).to(at::kDouble).unsqueeze(0), .table_rows = 20});
  Graph after = before;
  const auto gathers = before.consumers(*before.find_value("t"));
  FactorNodes(after).replace_table(*before.find_value("t"), {gathers.begin(), gathers.end()}, factors.factors({.rank = rank}));
  return after;
}

TEST(FactorNodes, FullRankReproducesTheTable) {
  const Tensor table = random_tensor({20, 8}, 3), ids = at::tensor({0, 7, 19, 3, 3, 12}, at::kLong).reshape({2, 3});
  const Graph before = two_readers(table), after = with_factors(before, table, 8);
  const auto want = run_graph(before, {ids}), got = run_graph(after, {ids}), narrow = run_graph(with_factors(before, table, 4), {ids});
  for (const size_t i : {0, 1}) {
    EXPECT_LT(relative_difference(got[i], want[i]), 1e-5);
    EXPECT_GT(relative_difference(narrow[i], want[i]), 1e-2);           // control
  }
  EXPECT_FALSE(after.find_value("t").has_value() && after.constant(*after.find_value("t")));
  EXPECT_EQ(after.consumers(*after.find_value("t.first")).size(), 2u);  // stored once
  EXPECT_EQ(after.consumers(*after.find_value("t.last")).size(), 2u);
}

TEST(FactorNodes, TablesKeepTheirType) {
  const Tensor table = random_tensor({20, 8}, 3), ids = at::tensor({0, 7, 19, 3, 3, 12}, at::kLong).reshape({2, 3});
  const Graph before = two_readers(table.to(at::kHalf)), after = with_factors(before, table, 8);
  EXPECT_EQ(after.constant(*after.find_value("t.first"))->dtype, DType::float16);
  EXPECT_EQ(after.constant(*after.find_value("t.last"))->dtype, DType::float16);
  const Tensor want = run_graph(before, {ids})[0], got = run_graph(after, {ids})[0];
  EXPECT_EQ(got.scalar_type(), at::kHalf);
  EXPECT_LT(relative_difference(got.to(at::kFloat), want.to(at::kFloat)), 5e-3);
}

/// Rows of t [20, 8], looked up and scored by t: by a Gemm with a bias and by a MatMul of three axes.
Graph tied_readers(const Tensor& table) {
  GraphBuilder b;
  const ValueId ids = b.input("ids", {int64_t{2}, int64_t{3}}, DType::int64), t = b.constant("t", table);
  const ValueId rows = b.node("Gather", {t, ids}, {}, "embed");
  const ValueId mean = b.node("ReduceMean", {rows}, {{"axes", std::vector<int64_t>{1}}, {"keepdims", int64_t{0}}});
  b.output(b.node("Gemm", {mean, t, b.random_constant("c", {20})}, {{"transB", int64_t{1}}}, "gemm"), "y");
  const ValueId turned = b.node("Transpose", {t}, {}, "turn");
  for (const char* name : {"one", "two"}) b.output(b.node("MatMul", {b.node("Tanh", {rows}), turned}, {}, name), cat("z.", name));
  return b.graph();
}

TEST(FactorNodes, ATiedTableIsStoredOnce) {
  const Tensor table = random_tensor({20, 8}, 3).to(at::kDouble), ids = at::tensor({0, 7, 19, 3, 3, 12}, at::kLong).reshape({2, 3});
  const Graph before = tied_readers(table.to(at::kFloat)), seen = with_turned_tables(before);
  const FactorUnit unit = table_units(seen).front();
  ASSERT_EQ(unit.nodes.size(), 3u);
  LayerFactors factors(FactoredLayer{.rows = table});
  for (const int64_t rank : {8, 5}) {
    for (const Graph* graph : {&before, &seen}) {                       // a Transpose, or its result as a constant
      Graph after = *graph;
      FactorNodes(after).replace_tied(unit.table, unit.gathers, unit.nodes, factors.factors({.rank = rank}));
      const auto want = run_graph(before, {ids}), got = run_graph(after, {ids});
      for (size_t i = 0; i < want.size(); ++i) {
        if (rank == 8) EXPECT_LT(relative_difference(got[i], want[i]), 1e-5);
        else EXPECT_GT(relative_difference(got[i], want[i]), 1e-2);     // control
      }
      int64_t stored = 0;
      for (const ValueId id : after.main().constants) stored += after.constant(id)->sizes.size() == 2 ? element_count(*after.constant(id)) : 0;
      EXPECT_EQ(stored, rank * (20 + 8));
      EXPECT_EQ(after.consumers(*after.find_value("t.first")).size(), 3u);   // the Gather, the Gemm, one Transpose for both MatMuls
      EXPECT_EQ(after.consumers(*after.find_value("t.last")).size(), 3u);
    }
  }
}

}  // namespace
}  // namespace niwaki
