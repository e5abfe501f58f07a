#include "passes/factorize/table_units.h"

#include "compress/graph_edit.h"
#include "compress/graph_text.h"
#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

enum class Head { gemm, transpose, copy, other_copy };

/// ids [2, 3] -> Gather of t [9, 4] -> one row -> what multiplies by t, turned.
Graph tied(Head head, bool has_stranger = false) {
  GraphBuilder b;
  const Tensor numbers = random_tensor({9, 4}, 3);
  const ValueId ids = b.input("ids", {int64_t{2}, int64_t{3}}, DType::int64), t = b.constant("t", numbers);
  const ValueId rows = b.node("Gather", {t, ids}, {}, "embed"), mean = b.node("ReduceMean", {rows}, {{"axes", std::vector<int64_t>{1}}, {"keepdims", int64_t{0}}});
  if (head == Head::gemm) {
    b.output(b.node("Gemm", {mean, t}, {{"transB", int64_t{1}}}, "head"));
  } else {
    const Tensor turned = numbers.t().contiguous();
    const ValueId weight = head == Head::transpose ? b.node("Transpose", {t}, {}, "turn") : b.constant("u", head == Head::copy ? turned : turned + 1e-3);
    b.output(b.node("MatMul", {mean, weight}, {}, "head"));
  }
  if (has_stranger) b.output(b.node("Relu", {t}, {}, "stranger"));
  return b.graph();
}

TEST(TableUnits, TablesGoWithTheGathersThatReadTheirRows) {
  GraphBuilder b;
  const ValueId ids = b.input("ids", {int64_t{2}, int64_t{3}}, DType::int64), table = b.random_constant("t", {9, 4}), columns = b.random_constant("c", {9, 4});
  b.output(b.node("Gather", {table, ids}, {}, "one"));
  b.output(b.node("Gather", {table, ids}, {{"axis", int64_t{0}}}, "two"));
  b.output(b.node("Gather", {columns, ids}, {{"axis", int64_t{1}}}, "columns"));
  b.output(b.node("Gather", {b.constant("whole", at::arange(12).reshape({3, 4})), ids}, {}, "integers"));
  b.output(b.node("Gather", {b.constant("bad", at::full({9, 4}, std::nanf(""))), ids}, {}, "bad"));
  const Graph graph = b.graph();
  const auto units = table_units(graph);
  ASSERT_EQ(units.size(), 2u);
  EXPECT_EQ(units[0].table, table);
  EXPECT_EQ(units[0].node_ids().size(), 2u);
  EXPECT_TRUE(units[0].nodes.empty());
  EXPECT_EQ(why_not_table(graph, units[0]), "");
  EXPECT_EQ(why_not_table(graph, units[1]), "its table has numbers that are not finite");
  const FactoredLayer layer = layer_of(graph, units[0], nullptr, {}, inferred_sizes(graph));
  const Tensor rows = values(*graph.constant(table)).to(at::kDouble);
  EXPECT_EQ(layer.num_weights(), 36);
  EXPECT_EQ(layer.macs(), 0);
  EXPECT_EQ(layer.output_positions, 12);                                // two nodes
  EXPECT_LT(relative_difference(layer.moments[0], rows.t().mm(rows) / 9), 1e-9);
}

TEST(TableUnits, TiedOutputsBelongToTheirTable) {
  for (const Head head : {Head::gemm, Head::transpose, Head::copy}) {
    const Graph given = tied(head), graph = with_turned_tables(given);
    const auto units = table_units(graph);
    ASSERT_EQ(units.size(), 1u);
    ASSERT_EQ(units[0].nodes.size(), 1u) << static_cast<int>(head);
    EXPECT_EQ(given.label(units[0].nodes[0].node), "head");
    EXPECT_TRUE(units[0].is_tied);
    EXPECT_EQ(why_not_table(graph, units[0]), "");
    const FactoredLayer layer = layer_of(graph, units[0], nullptr, {}, inferred_sizes(graph));
    EXPECT_LT(relative_difference(layer.rows, values(*graph.constant(units[0].table)).to(at::kDouble)), 1e-9);
    EXPECT_EQ(layer.num_weights(), 36);                                 // once
    EXPECT_EQ(layer.macs(), 2 * 36);                                    // of the output; lookups compute nothing
    EXPECT_EQ(layer.lookups, 6);
    LayerFactors factors(layer);
    const auto options = factors.options({.only = 1});
    ASSERT_EQ(options.size(), 1u);
    EXPECT_EQ(options[0].num_weights, 9 + 4);
    EXPECT_EQ(options[0].macs, 2 * (9 + 4) + 6 * 4);
  }
}

TEST(TableUnits, OtherReadersNeedTheWholeTable) {
  EXPECT_TRUE(table_units(with_turned_tables(tied(Head::other_copy)))[0].nodes.empty());
  for (const Head head : {Head::gemm, Head::transpose, Head::copy}) {
    const Graph graph = with_turned_tables(tied(head, true));
    EXPECT_EQ(why_not_table(graph, table_units(graph)[0]), "its table is used elsewhere too") << static_cast<int>(head);
  }
  GraphBuilder b;                                                       // a scaled product; the table as a weight [in, out]
  const ValueId ids = b.input("ids", {int64_t{3}}, DType::int64), t = b.random_constant("t", {9, 4}), s = b.random_constant("s", {9, 4});
  b.output(b.node("Gemm", {b.node("Gather", {t, ids}), t}, {{"transB", int64_t{1}}, {"alpha", 0.5F}}));
  b.output(b.node("MatMul", {b.input("soft", {int64_t{3}, int64_t{9}}), s}));
  b.output(b.node("Gather", {s, ids}));
  const Graph graph = b.graph();
  for (const FactorUnit& unit : table_units(graph)) EXPECT_EQ(why_not_table(graph, unit), "its table is used elsewhere too");
}

TEST(TableUnits, TurnedTablesComputeTheSame) {
  const Graph given = tied(Head::transpose), graph = with_turned_tables(given);
  EXPECT_EQ(graph.main().nodes.size() + 1, given.main().nodes.size());
  const Tensor ids = at::tensor({0, 7, 8, 3, 3, 1}, at::kLong).reshape({2, 3});
  EXPECT_LT(relative_difference(run_graph(graph, {ids})[0], run_graph(given, {ids})[0]), 1e-6);
  EXPECT_EQ(text(with_turned_tables(tied(Head::copy))), text(tied(Head::copy)));   // nothing to turn
  GraphBuilder b;                                                       // an output needs it
  const ValueId t = b.random_constant("t", {9, 4}), turned = b.node("Transpose", {t});
  b.output(b.node("Gather", {t, b.input("ids", {int64_t{3}}, DType::int64)}));
  b.output(b.node("MatMul", {b.input("x", {int64_t{3}, int64_t{4}}), turned}));
  b.output(turned);
  EXPECT_EQ(with_turned_tables(b.graph()).main().nodes.size(), 3u);
}

}  // namespace
}  // namespace niwaki
