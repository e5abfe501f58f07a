#include "passes/factorize/rank_search.h"

#include "compress/error.h"
#include "tests/graph_builder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace niwaki {
namespace {

using ::testing::HasSubstr;

/// Two products of rank 8 and a little; what is said of them without samples.
struct Searched {
  explicit Searched(const FactorizeWeightsOptions& wanted) : options(wanted) {
    GraphBuilder b;
    ValueId x = b.input("x", {int64_t{4}, int64_t{64}});
    for (const char* name : {"a", "b"}) {
      const auto seed = static_cast<uint64_t>(name[0]);
      const Tensor low = random_tensor({64, 8}, seed).mm(random_tensor({8, 64}, seed + 5));
      x = b.node("Tanh", {b.node("MatMul", {x, b.constant(cat("w", name), low + 0.01 * random_tensor({64, 64}, seed + 9))}, {}, name)});
    }
    b.output(x, "y");
    graph = b.graph();
    evidence.sizes = inferred_sizes(graph);
    for (FactorUnit& unit : factor_units(graph, linear_views(graph))) {
      LayerFactors factors(layer_of(graph, unit, nullptr, {}, evidence.sizes));
      units.push_back({std::move(unit), std::move(factors)});
      units.back().energy = units.back().factors.energy();
    }
  }
  RankSearch search() { return RankSearch(graph, options, context, units, evidence); }

  FactorizeWeightsOptions options;
  Graph graph;
  FactorEvidence evidence;
  std::vector<RankedUnit> units;
  PassReport report;
  Progress progress;
  PassContext context{.report = report, .progress = progress};
};

TEST(RankSearch, SumsStayWithinTheBudget) {
  Searched one({.macs_ratio = 0.5});
  const auto choices = one.search().choose();
  double macs = 0;
  for (const auto& choice : choices) macs += choice ? choice->macs : 4.0 * 64 * 64;
  EXPECT_LE(macs, 0.5 * 2 * 4 * 64 * 64);
}

TEST(RankSearch, WhatIsLeftOutIsNotChosenAgain) {
  Searched one({.macs_ratio = 0.7});
  RankSearch search = one.search();
  const auto first = search.choose();
  ASSERT_TRUE(first[0] || first[1]);
  const size_t taken = first[0] ? 0 : 1;
  search.leave_out(taken, *first[taken]);
  const auto second = search.choose();
  EXPECT_TRUE(!second[taken] || second[taken]->macs <= 0.75 * first[taken]->macs);
  for (int i = 0; i < 2; ++i) search.leave_out(taken, *first[taken]);
  EXPECT_FALSE(search.choose()[taken].has_value());                     // the other one alone reaches the budget
  EXPECT_TRUE(search.choose()[1 - taken].has_value());
}

TEST(RankSearch, ABudgetOutOfReachNamesTheOtherGoal) {
  Searched one({.macs_ratio = 0.4});
  RankSearch search = one.search();
  const auto first = search.choose();
  ASSERT_TRUE(first[0] && first[1]);
  for (int i = 0; i < 3; ++i) search.leave_out(0, *first[0]);
  try {
    search.choose();
    FAIL();
  } catch (const UnsupportedError& error) {
    EXPECT_EQ(error.code(), "E3210");
    EXPECT_THAT(error.details().help, HasSubstr("--goal smallest"));
  }
}

TEST(RankSearch, ARankIsOneForAll) {
  Searched one({.rank = 8});
  RankSearch search = one.search();
  for (const auto& choice : search.choose()) EXPECT_EQ(choice->rank, 8);
  search.leave_out(1, *search.choose()[1]);
  EXPECT_FALSE(search.choose()[1].has_value());                         // a linear map has one form
}

TEST(RankSearch, NotesAreThoseOfTheLastChoice) {
  Searched one({.macs_ratio = 0.999});
  one.report.notes.push_back("N0000: another's");
  RankSearch search = one.search();
  search.choose();
  const size_t count = one.report.notes.size();
  search.choose();
  EXPECT_EQ(one.report.notes.size(), count);
  EXPECT_EQ(one.report.notes.front(), "N0000: another's");
}

}  // namespace
}  // namespace niwaki
