#include "passes/factorize/factorize_weights.h"

#include "compress/error.h"
#include "compress/graph_text.h"
#include "compress/linear_view.h"
#include "compress/macs.h"
#include "formats/samples.h"
#include "passes/factorize/table_units.h"
#include "tests/apply_pass.h"
#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

const NodeReport& node_of(const Applied& applied, const std::string& name) {
  return *std::find_if(applied.report.nodes.begin(), applied.report.nodes.end(), [&](const NodeReport& one) { return one.node == name; });
}

double macs_ratio(const Applied& applied) { return total_macs(applied.after, inferred_sizes(applied.after)) / total_macs(applied.before, inferred_sizes(applied.before)); }

constexpr int64_t kRows = 200, kWide = 32;

/// Rows with `directions` that matter, and a little of the others.
Tensor table_numbers(int64_t directions = 6, double noise = 0.02) {
  return random_tensor({kRows, directions}, 31).mm(random_tensor({directions, kWide}, 32)) + noise * random_tensor({kRows, kWide}, 33);
}

/// Every row equally often, five to a sample.
Tensor row_ids() { return at::remainder(at::arange(5 * kRows, at::kLong) * 37, kRows).reshape({-1, 5}); }

/// tokens [n, 5] -> table [200, 32] -> mean -> Gemm (48) -> Relu -> Gemm (10); `is_tied`: scores of the table's rows instead,
/// with `has_copy` by a turned copy of it.
Graph language_like(const Tensor& table, bool is_tied = false, bool has_copy = false) {
  GraphBuilder b;
  const ValueId ids = b.input("tokens", {std::string("n"), int64_t{5}}, DType::int64), t = b.constant("t", table);
  const ValueId mean = b.node("ReduceMean", {b.node("Gather", {t, ids}, {}, "embed")}, {{"axes", std::vector<int64_t>{1}}, {"keepdims", int64_t{0}}}, "mean");
  const ValueId h = b.node("Relu", {b.node("Gemm", {mean, b.constant("w", 0.3 * random_tensor({kWide, 48}, 2)), b.constant("wb", random_tensor({48}, 3))}, {}, "a")});
  const auto turned = [&] { return has_copy ? b.constant("turned", table.t().contiguous()) : b.node("Transpose", {t}, {}, "turn"); };
  if (is_tied) b.output(b.node("MatMul", {b.node("MatMul", {h, b.constant("p", random_tensor({48, kWide}, 5))}, {}, "p"), turned()}, {}, "head"), "y");
  else b.output(b.node("Gemm", {h, b.constant("v", 0.3 * random_tensor({48, 10}, 4)), b.constant("vb", random_tensor({10}, 5))}, {}, "c"), "y");
  return b.graph();
}

Dataset ids_for(const Graph& graph) { return Dataset(graph, samples_of({{"tokens", row_ids()}}), {.batch = 8}, "data"); }

Applied with_table(const Graph& graph, const Json& options) {
  const Dataset data = ids_for(graph);
  return apply_pass("factorize_weights", graph, options, &data);
}

double table_error(const Applied& applied) {
  const Tensor want = run_graph(applied.before, {row_ids()})[0];
  return (at::square(run_graph(applied.after, {row_ids()})[0] - want).sum() / at::square(want).sum()).item<double>();
}

int64_t weights_and_tables(const Graph& graph) {
  std::set<ValueId> seen;
  for (const LinearView& view : linear_views(graph)) seen.insert(view.weight);
  for (const FactorUnit& unit : table_units(graph)) seen.insert(unit.table);
  int64_t sum = 0;
  for (const ValueId id : seen) sum += element_count(*graph.constant(id));
  return sum;
}

TEST(FactorizeWeights, TablesLoseTheSmallEigenvaluesOfTheRowsThatAreRead) {
  GraphBuilder b;
  const ValueId ids = b.input("tokens", {std::string("n"), int64_t{5}}, DType::int64);
  b.output(b.node("Gather", {b.constant("t", random_tensor({kRows, kWide}, 9)), ids}, {}, "embed"), "y");
  const Applied applied = with_table(b.graph(), {{"rank", 8}});
  ASSERT_EQ(node_of(applied, "embed").outcome, Outcome::changed);
  const Tensor rows = run_graph(applied.before, {row_ids()})[0].reshape({-1, kWide}).to(at::kDouble);
  const double discarded = at::linalg_eigvalsh(rows.t().mm(rows)).narrow(0, 0, kWide - 8).sum().item<double>();
  const double error = at::square(run_graph(applied.after, {row_ids()})[0].reshape({-1, kWide}) - rows).sum().item<double>();
  EXPECT_NEAR(error, discarded, 1e-4 * discarded);
  const double all = at::square(rows).sum().item<double>();
  EXPECT_NEAR(node_of(applied, "embed").metrics["energy"].get<double>(), 1 - discarded / all, 1e-4);
  EXPECT_EQ(node_of(applied, "embed").metrics["factors"].dump(), "[[200,8],[8,32]]");
}

TEST(FactorizeWeights, RowsThatAreReadCountMost) {
  GraphBuilder b;
  const ValueId ids = b.input("tokens", {std::string("n"), int64_t{5}}, DType::int64);
  // the first 100 rows lie in 8 directions, the others everywhere
  const Tensor table = at::cat({random_tensor({100, 8}, 1).mm(random_tensor({8, kWide}, 2)), random_tensor({100, kWide}, 3)});
  b.output(b.node("Gather", {b.constant("t", table), ids}, {}, "embed"), "y");
  const Graph graph = b.graph();
  const Tensor read = at::remainder(row_ids(), 100), unread = read + 100;
  const Dataset data(graph, samples_of({{"tokens", read}}), {.batch = 8}, "data");
  const Applied applied = apply_pass("factorize_weights", graph, {{"rank", 8}}, &data);
  EXPECT_LT(relative_difference(run_graph(applied.after, {read})[0], run_graph(graph, {read})[0]), 0.02);
  EXPECT_GT(relative_difference(run_graph(applied.after, {unread})[0], run_graph(graph, {unread})[0]), 0.1);
}

TEST(FactorizeWeights, SeveralReadersOfATableShareItsFactors) {
  GraphBuilder b;
  const ValueId tokens = b.input("tokens", {std::string("n"), int64_t{5}}, DType::int64), t = b.constant("t", table_numbers(8, 0));
  b.output(b.node("Gather", {t, tokens}, {}, "one"), "y");
  b.output(b.node("Gather", {t, b.node("Neg", {tokens}, {}, "minus")}, {}, "two"), "z");
  const Applied applied = with_table(b.graph(), {{"rank", 8}});
  EXPECT_EQ(node_of(applied, "two").metrics["together_with"], 1);
  EXPECT_EQ(applied.after.consumers(*applied.after.find_value("t.first")).size(), 2u);
  EXPECT_EQ(applied.after.consumers(*applied.after.find_value("t.last")).size(), 2u);
  const auto want = run_graph(applied.before, {row_ids()}), got = run_graph(applied.after, {row_ids()});
  EXPECT_LT(relative_difference(got[0], want[0]), 1e-5);                // its rank is 8
  EXPECT_LT(relative_difference(got[1], want[1]), 1e-5);
}

TEST(FactorizeWeights, TablesAreTakenUnderAByteBudget) {
  const Applied applied = with_table(language_like(table_numbers()), {{"sparsity", 0.6}});
  EXPECT_EQ(node_of(applied, "embed").outcome, Outcome::changed);
  EXPECT_EQ(node_of(applied, "embed").metrics["form"], "table");
  EXPECT_LE(weights_and_tables(applied.after), 0.4 * static_cast<double>(weights_and_tables(applied.before)));
  EXPECT_LT(table_error(applied), 0.02);
  const auto made = applied.after.find_value(applied.before.value(applied.before.node(applied.before.consumers(*applied.before.find_value("t"))[0]).outputs[0]).name);
  ASSERT_TRUE(made.has_value());                                        // the rows keep their name
  EXPECT_EQ(applied.after.node(*applied.after.producer(*made)).op, "MatMul");
}

TEST(FactorizeWeights, TablesKeepTheirEnergy) {
  const Applied applied = with_table(language_like(table_numbers()), {{"energy", 0.99}, {"refit", false}});
  ASSERT_EQ(node_of(applied, "embed").outcome, Outcome::changed);
  EXPECT_EQ(node_of(applied, "embed").metrics["rank"], 8);
  EXPECT_GE(node_of(applied, "embed").metrics["energy"].get<double>(), 0.99);
  EXPECT_LT(table_error(applied), 0.01);
  const Applied plain = apply_pass("factorize_weights", language_like(table_numbers()), {{"rank", 8}});   // without data
  EXPECT_EQ(node_of(plain, "embed").outcome, Outcome::changed);
  EXPECT_LT(table_error(plain), 0.3);
}

TEST(FactorizeWeights, TablesAreLeftAloneForAReason) {
  const Graph graph = language_like(table_numbers());
  const Applied fast = with_table(graph, {{"macs_ratio", 0.7}});
  EXPECT_EQ(fast.report.reason("embed"), "reading a table computes nothing: factors would add multiply-accumulates");
  EXPECT_TRUE(fast.after.constant(*fast.after.find_value("t")));
  Graph kept = graph;
  const Dataset data = ids_for(graph);
  PassReport report;
  Progress progress;
  PassContext context{.report = report, .progress = progress, .calibration = &data, .keep = {"embed"}};
  factorize_weights(kept, {.rank = 8}, context);
  EXPECT_EQ(report.reason("embed"), "left alone by --keep or --only");
  EXPECT_TRUE(kept.constant(*kept.find_value("t")));
}

TEST(FactorizeWeights, ATiedTableIsOneProductForBoth) {
  const Graph graph = language_like(table_numbers(), true);
  const Applied applied = with_table(graph, {{"rank", 8}});
  for (const char* name : {"embed", "head"}) {
    EXPECT_EQ(node_of(applied, name).outcome, Outcome::changed);
    EXPECT_EQ(node_of(applied, name).metrics["form"], "table");
    EXPECT_EQ(node_of(applied, name).metrics["factors"].dump(), "[[200,8],[8,32]]");
    EXPECT_EQ(node_of(applied, name).metrics["together_with"], 1);
  }
  EXPECT_FALSE(applied.after.find_value("t") && applied.after.constant(*applied.after.find_value("t")));
  EXPECT_EQ(applied.after.consumers(*applied.after.find_value("t.first")).size(), 2u);
  EXPECT_EQ(applied.after.consumers(*applied.after.find_value("t.last")).size(), 2u);
  EXPECT_LT(table_error(applied), 0.1);                                 // most of it the linear nodes'
  EXPECT_LT(table_error(applied), 0.5 * table_error(with_table(language_like(table_numbers(12), true), {{"rank", 8}})));
  for (const auto& [what, why] : applied.report.changes) EXPECT_NE(what, graph.value(graph.node(graph.consumers(*graph.find_value("t"))[1]).outputs[0]).name);
}

/// Rows in 8 directions and a little; what the output reads lies in 4 of them, what is looked up mostly in 4 others.
Applied opposed(const Json& options, double looked_up) {
  Tensor table = 0.05 * random_tensor({kRows, kWide}, 61);
  table.slice(1, 0, 4) += random_tensor({kRows, 4}, 62);
  table.slice(1, 4, 8) += looked_up * random_tensor({kRows, 4}, 63);
  GraphBuilder b;
  const ValueId ids = b.input("tokens", {std::string("n"), int64_t{5}}, DType::int64), t = b.constant("t", table), x = b.input("x", {std::string("n"), kWide});
  const ValueId mean = b.node("ReduceMean", {b.node("Gather", {t, ids}, {}, "embed")}, {{"axes", std::vector<int64_t>{1}}, {"keepdims", int64_t{0}}}, "mean");
  b.output(mean, "rows");
  b.output(b.node("Gemm", {x, t}, {{"transB", int64_t{1}}}, "head"), "scores");
  const Graph graph = b.graph();
  const Dataset data(graph, samples_of({{"tokens", row_ids()}, {"x", random_tensor({kRows, kWide}, 64) * at::cat({at::full({4}, 3.0), at::full({kWide - 4}, 0.02)})}}), {.batch = 8}, "data");
  return apply_pass("factorize_weights", graph, options, &data);
}

TEST(FactorizeWeights, OutputsAndLookupsOfATiedTableBothCount) {
  const Applied applied = opposed({{"rank", 8}, {"refit", false}}, 1.0);
  ASSERT_EQ(node_of(applied, "head").outcome, Outcome::changed);
  const Tensor x = random_tensor({kRows, kWide}, 65) * at::cat({at::full({4}, 3.0), at::full({kWide - 4}, 0.02)});
  const auto want = run_graph(applied.before, {row_ids(), x}), got = run_graph(applied.after, {row_ids(), x});
  for (const size_t i : {0, 1}) EXPECT_LT((at::square(got[i] - want[i]).sum() / at::square(want[i]).sum()).item<double>(), 0.05) << i;   // either alone leaves the other's 4 directions to chance
  const Applied narrow = opposed({{"rank", 4}, {"refit", false}}, 1.0);  // four directions cannot serve both
  const auto few = run_graph(narrow.after, {row_ids(), x});
  EXPECT_GT((at::square(few[0] - want[0]).sum() / at::square(want[0]).sum()).item<double>(), 0.2);
}

TEST(FactorizeWeights, TiedTablesAreTakenUnderEitherBudget) {
  const Graph graph = language_like(table_numbers(), true);
  const Applied small = with_table(graph, {{"sparsity", 0.5}});
  EXPECT_EQ(node_of(small, "head").outcome, Outcome::changed);
  EXPECT_LT(table_error(small), 0.05);
  const Applied fast = with_table(graph, {{"macs_ratio", 0.6}});
  EXPECT_EQ(node_of(fast, "head").outcome, Outcome::changed);           // its output computes most
  EXPECT_LE(macs_ratio(fast), 0.6);
  const Applied whole = with_table(language_like(table_numbers(6, 0), true), {{"energy", 0.98}});
  EXPECT_EQ(node_of(whole, "embed").outcome, Outcome::changed);
  EXPECT_LT(table_error(whole), 0.02);
}

TEST(FactorizeWeights, LookupsStayExactWhereTheOutputHasACopyAndTimeIsTheBudget) {
  const Graph graph = language_like(table_numbers(), true, true);
  const Applied fast = with_table(graph, {{"macs_ratio", 0.6}});
  EXPECT_EQ(fast.report.reason("embed"), "reading a table computes nothing: factors would add multiply-accumulates");
  EXPECT_EQ(node_of(fast, "head").metrics["form"], "columns");
  EXPECT_LE(macs_ratio(fast), 0.6);
  EXPECT_LT(table_error(fast), table_error(with_table(language_like(table_numbers(), true), {{"macs_ratio", 0.6}})));
  const Applied small = with_table(graph, {{"rank", 8}});
  EXPECT_EQ(node_of(small, "embed").metrics["together_with"], 1);       // else the table would be there twice
}

TEST(FactorizeWeights, ACopyIsJoinedWhereThatKeepsTheAnswersNearer) {
  const auto is_apart = [](const Applied& applied) { return std::any_of(applied.report.notes.begin(), applied.report.notes.end(), [](const std::string& note) { return note.starts_with("N3015"); }); };
  const Applied low = with_table(language_like(table_numbers(), true, true), {{"sparsity", 0.8}});
  EXPECT_FALSE(is_apart(low));                                          // 6 directions: half the weights for the same rank
  EXPECT_EQ(node_of(low, "embed").metrics["together_with"], 1);
  const Tensor full = random_tensor({kRows, kWide}, 71);                // no rank is low enough for lookups
  const Applied high = with_table(language_like(full, true, true), {{"sparsity", 0.3}});
  EXPECT_TRUE(is_apart(high));
  EXPECT_EQ(std::count_if(high.report.nodes.begin(), high.report.nodes.end(), [](const NodeReport& node) { return node.node == "embed"; }), 1);   // of one way alone
}

TEST(FactorizeWeights, PartsOfATiedTableAreNotMadeAlone) {
  Graph kept = language_like(table_numbers(), true);
  const std::string before = text(kept);
  const Dataset data = ids_for(kept);
  PassReport report;
  Progress progress;
  PassContext context{.report = report, .progress = progress, .calibration = &data, .keep = {"head", "a", "p"}};
  factorize_weights(kept, {.rank = 8}, context);
  EXPECT_EQ(report.reason("embed"), "left alone by --keep or --only");
  EXPECT_EQ(report.reason("head"), "its table stays whole: left alone by --keep or --only");
  EXPECT_EQ(text(kept), before);
}

}  // namespace
}  // namespace niwaki
