#include "passes/factorize/measure_units.h"

#include "compress/error.h"
#include "compress/graph_text.h"
#include "passes/factorize/factor_nodes.h"
#include "passes/factorize/table_units.h"
#include "tests/graph_builder.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace niwaki {
namespace {

#define SKIP_WITHOUT_RUNTIME() \
  if (RuntimeWorker probe; !probe.available()) GTEST_SKIP() << probe.reason()

FactorUnit unit_of(const Graph& graph, const std::string& label) {
  for (const LinearView& view : linear_views(graph)) {
    if (graph.label(view.node) == label) return {.nodes = {view}};
  }
  return {};
}

/// x [2, 8] -> MatMul a + constant -> Relu -> MatMul b -> Relu -> Gemm c -> Softmax; b's output is read twice.
Graph chain() {
  GraphBuilder b;
  const ValueId x = b.input("x", {int64_t{2}, int64_t{8}});
  const ValueId a = b.node("Relu", {b.node("Add", {b.node("MatMul", {x, b.random_constant("wa", {8, 8})}, {}, "a"), b.random_constant("ba", {8})})});
  const ValueId second = b.node("MatMul", {a, b.random_constant("wb", {8, 8})}, {}, "b");
  const ValueId c = b.node("Gemm", {b.node("Add", {b.node("Relu", {second}), second}), b.random_constant("wc", {8, 8})}, {}, "c");
  b.output(b.node("Softmax", {c}), "y");
  return b.graph();
}

std::vector<std::string> ops(const Graph& graph) {
  std::vector<std::string> found;
  for (const NodeId id : graph.main().nodes) found.push_back(graph.node(id).op);
  return found;
}

TEST(MeasureUnits, AUnitStandsAloneWithWhatIsFusedIntoIt) {
  const Graph graph = chain();
  const KnownSizes sizes = inferred_sizes(graph);
  const Graph a = *unit_alone(graph, unit_of(graph, "a"), sizes);
  EXPECT_EQ(ops(a), (std::vector<std::string>{"MatMul", "Add", "Relu"}));
  EXPECT_EQ(ops(*unit_alone(graph, unit_of(graph, "b"), sizes)), std::vector<std::string>{"MatMul"});   // others read it too
  EXPECT_EQ(ops(*unit_alone(graph, unit_of(graph, "c"), sizes)), std::vector<std::string>{"Gemm"});     // Softmax is not fused
  const Tensor x = random_tensor({2, 8}, 4), w = values(*graph.constant(*graph.find_value("wa"))), bias = values(*graph.constant(*graph.find_value("ba")));
  EXPECT_LT(relative_difference(run_graph(a, {x})[0], at::relu(x.mm(w) + bias)), 1e-6);
  EXPECT_EQ(a.main().constants.size(), 2u);
  EXPECT_EQ(text(graph), text(chain()));                                // untouched
}

TEST(MeasureUnits, WithoutSizesNothingStandsAlone) {
  const Graph graph = chain();
  EXPECT_FALSE(unit_alone(graph, unit_of(graph, "a"), {}).has_value());
}

/// x [8, width] times a weight, and the same with factors of this rank.
std::pair<Graph, Graph> pair_of(int64_t width, int64_t rank) {
  GraphBuilder b;
  b.output(b.node("MatMul", {b.input("x", {int64_t{8}, width}), b.random_constant("w", {width, width})}, {}, "m"), "y");
  const Graph graph = b.graph();
  const FactorUnit unit = unit_of(graph, "m");
  const Graph before = *unit_alone(graph, unit, inferred_sizes(graph));
  Graph after = before;
  FactorNodes(after).replace_uses(unit.nodes, FactorForm::columns, {random_tensor({rank, width}, 1), random_tensor({width, rank}, 2)});
  return {before, after};
}

TEST(MeasureUnits, TimesTellFarApartPairs) {
  SKIP_WITHOUT_RUNTIME();
  UnitTimer timer(1);
  const auto [wide, narrow] = pair_of(1024, 8);                         // 64 times less work
  const auto less = timer.compare(wide, narrow), more = timer.compare(narrow, wide);
  ASSERT_TRUE(less && more);
  EXPECT_TRUE(less->is_faster());
  EXPECT_LT(less->after_ms, less->before_ms);
  EXPECT_FALSE(more->is_faster());
  EXPECT_GT(more->ci95[0], 1);
  const auto [small, two] = pair_of(16, 4);                             // two calls for next to no work
  EXPECT_FALSE(timer.compare(small, two)->is_faster());
}

TEST(MeasureUnits, EqualUnitsAreTimedOnce) {
  SKIP_WITHOUT_RUNTIME();
  UnitTimer timer(1);
  const auto [before, after] = pair_of(64, 8);
  const auto first = timer.compare(before, after);
  Graph other = before;                                                 // other numbers, other times only if timed anew
  const ValueId weight = other.main().constants.front();
  other.set_constant(weight, make_constant(random_tensor({64, 64}, 99)));
  const auto second = timer.compare(other, after);
  EXPECT_EQ(first->before_ms, second->before_ms);
  EXPECT_EQ(first->after_ms, second->after_ms);
}

TEST(MeasureUnits, PlacesOfTablesAreInside) {                           // else the runtime refuses to run
  SKIP_WITHOUT_RUNTIME();
  GraphBuilder b;
  const ValueId ids = b.input("ids", {int64_t{1}, int64_t{300}}, DType::int64), table = b.random_constant("t", {7, 64});
  b.output(b.node("Gather", {table, ids}, {}, "g"), "y");
  const Graph graph = b.graph();
  const FactorUnit unit = table_units(graph).front();
  const Graph before = *unit_alone(graph, unit, inferred_sizes(graph));
  Graph after = before;
  FactorNodes(after).replace_table(table, unit.gathers, {random_tensor({4, 64}, 1).to(at::kDouble), random_tensor({64, 4}, 2).to(at::kDouble)});
  UnitTimer timer(1);
  EXPECT_FALSE(timer.compare(before, after)->is_faster());              // a product of 300 rows on top
}

TEST(MeasureUnits, AMissingRuntimeIsSaid) {
  const char* old = std::getenv("NIWAKI_PYTHON");
  const std::string kept = old ? old : "";
  setenv("NIWAKI_PYTHON", "/nowhere/python", 1);
  try {
    UnitTimer timer(1);
    ADD_FAILURE();
  } catch (const EnvironmentError& error) {
    EXPECT_EQ(error.code(), "E4006");
  }
  if (old) setenv("NIWAKI_PYTHON", kept.c_str(), 1);
  else unsetenv("NIWAKI_PYTHON");
}

}  // namespace
}  // namespace niwaki
