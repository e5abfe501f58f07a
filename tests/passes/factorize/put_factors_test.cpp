#include "passes/factorize/put_factors.h"

#include "compress/executor.h"
#include "formats/samples.h"
#include "passes/factorize/table_units.h"
#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

/// Inputs around 3, in few directions.
Tensor inputs() { return random_tensor({64, 4}, 1).mm(random_tensor({4, 12}, 2)) + 0.3 * random_tensor({64, 12}, 3) + 3; }

Graph gemm() {
  GraphBuilder b;
  const ValueId x = b.input("x", {std::string("n"), int64_t{12}});
  b.output(b.node("Gemm", {x, b.random_constant("w", {12, 10}), b.random_constant("c", {10})}, {}, "fc"), "y");
  return b.graph();
}

RankedUnit ranked(const Graph& graph, const Statistics* statistics) {
  FactorUnit unit = factor_units(graph, linear_views(graph)).front();
  LayerFactors factors(layer_of(graph, unit, statistics, {}, inferred_sizes(graph)));
  return {std::move(unit), std::move(factors)};
}

TEST(PutFactors, WhatIsMissingHasNoMeanAnyMore) {
  const Graph before = gemm();
  const Dataset data(before, samples_of({{"x", inputs()}}), {.batch = 8}, "data");
  Progress progress;
  const Statistics statistics = collect(Executor(before), before, data, {.grams = {linear_views(before).front()}}, progress);
  RankedUnit unit = ranked(before, &statistics);
  Graph after = before;
  const PlacedFactors placed = put_factors(after, before, unit, {.rank = 3}, &statistics);
  ASSERT_EQ(placed.factors.size(), 2u);
  EXPECT_LT(relative_difference(placed.missing + placed.factors[1].mm(placed.factors[0]), unit.factors.layer().rows), 1e-9);
  const Tensor error = run_graph(after, {inputs()})[0] - run_graph(before, {inputs()})[0];
  EXPECT_GT(error.abs().max().item<double>(), 0.01);                    // rank 3 of 4 and a little
  EXPECT_LT(error.mean(0).abs().max().item<double>(), 1e-4);            // the bias took it
}

TEST(PutFactors, WithoutStatisticsBiasesStay) {
  const Graph before = gemm();
  RankedUnit unit = ranked(before, nullptr);
  Graph after = before;
  put_factors(after, before, unit, {.rank = 3}, nullptr);
  EXPECT_EQ(after.constant(*after.find_value("c")), before.constant(*before.find_value("c")));
  EXPECT_EQ(after.main().nodes.size(), 2u);
}

TEST(PutFactors, TheBiasOfATiedOutputTakesTheMean) {
  GraphBuilder b;
  const ValueId x = b.input("x", {std::string("n"), int64_t{12}}), ids = b.input("tokens", {std::string("n")}, DType::int64), t = b.random_constant("t", {30, 12});
  b.output(b.node("Gather", {t, ids}, {}, "embed"));
  b.output(b.node("Gemm", {x, t, b.random_constant("c", {30})}, {{"transB", int64_t{1}}}, "head"));
  const Graph before = b.graph();
  const Tensor places = at::remainder(at::arange(64, at::kLong), 30);
  const Dataset data(before, samples_of({{"x", inputs()}, {"tokens", places}}), {.batch = 8}, "data");
  FactorUnit unit = table_units(before).front();
  ASSERT_EQ(unit.nodes.size(), 1u);
  Progress progress;
  const Statistics statistics = collect(Executor(before), before, data, {.grams = unit.nodes, .value_grams = {before.node(unit.gathers[0]).outputs[0]}}, progress);
  LayerFactors factors(layer_of(before, unit, &statistics, {}, inferred_sizes(before)));
  RankedUnit ranked{std::move(unit), std::move(factors)};
  Graph after = before;
  put_factors(after, before, ranked, {.rank = 6}, &statistics);
  const auto want = run_graph(before, {inputs(), places}), got = run_graph(after, {inputs(), places});
  const Tensor error = got[1] - want[1];
  EXPECT_GT(error.abs().max().item<double>(), 0.01);
  EXPECT_LT(error.mean(0).abs().max().item<double>(), 1e-4);
  EXPECT_GT(relative_difference(got[0], want[0]), 0.01);                // looked up with the same parts
  EXPECT_EQ(after.consumers(*after.find_value("t.first")).size(), 2u);
}

}  // namespace
}  // namespace niwaki
