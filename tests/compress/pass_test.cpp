#include "compress/pass.h"

#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

struct StampOptions {
  std::string text = "stamp";
  int count = 1;
  void validate() const {}
  Needs needs() const { return {.calibration = count > 1}; }
  static constexpr auto fields() {
    return std::tuple{field("text", &StampOptions::text, "what"), field("count", &StampOptions::count, "how often").between(1, 3)};
  }
};
void stamp(Graph& graph, const StampOptions& options, PassContext& context) {
  graph.edit_main().doc = options.text;
  graph.touch();
  context.report.change("stamped");
}

PassTable table() {
  PassTable passes;
  passes.add("stamp", "stamps", stamp);
  return passes;
}

Graph small_graph() {
  GraphBuilder b;
  const ValueId h = b.node("Conv", {b.input("x", {int64_t{1}, int64_t{1}, int64_t{4}, int64_t{4}}), b.random_constant("w", {1, 1, 3, 3})}, {}, "layer1.conv");
  b.output(b.node("Relu", {b.node("Conv", {h, b.random_constant("v", {1, 1, 1, 1})}, {}, "layer2.conv")}));
  return b.graph();
}

std::string refusal(const auto& action) {
  try {
    action();
    return "";
  } catch (const UsageError& error) {
    return error.code() + ": " + error.message() + " (" + error.details().help + ")";
  }
}

TEST(PassTable, BindsOptions) {
  const Pass pass = table().make("stamp", {{"text", "seal"}, {"count", 2}});
  EXPECT_EQ(pass.options, (Json{{"text", "seal"}, {"count", 2}}));
  EXPECT_TRUE(pass.needs.calibration);
  EXPECT_FALSE(table().make("stamp").needs.calibration);
  Graph graph = small_graph();
  PassReport report;
  Progress progress;
  PassContext context{.report = report, .progress = progress};
  pass.run(graph, context);
  EXPECT_EQ(graph.main().doc, "seal");
  EXPECT_EQ(report.nodes.at(0).outcome, Outcome::changed);
}

TEST(PassTable, RefusesUnknownPassesAndOptions) {
  EXPECT_EQ(refusal([] { table().make("stmp"); }), "E2003: unknown pass 'stmp' (did you mean 'stamp'?)");
  EXPECT_EQ(refusal([] { table().make("entirely_else"); }), "E2003: unknown pass 'entirely_else' (`niwaki passes` lists them)");
  EXPECT_EQ(refusal([] { table().make("stamp", {{"txt", "a"}}); }), "E2004: unknown option 'txt' (did you mean 'text'?)");
}

TEST(PassReport, GivesTheFirstReason) {
  PassReport report;
  report.change("a");
  report.skip("b", "too small");
  report.skip("b", "again");
  EXPECT_EQ(report.reason("a"), "");
  EXPECT_EQ(report.reason("b"), "too small");
  EXPECT_EQ(report.reason("c"), "");
}

TEST(IsSelected, ReadsThreeKindsOfPatterns) {
  const Graph graph = small_graph();
  const NodeId first = graph.main().nodes[0], second = graph.main().nodes[1], relu = graph.main().nodes[2];
  const auto kept = [&](const std::string& pattern) {
    std::string found;
    for (const NodeId id : {first, second, relu}) found += is_selected(graph, id, {pattern}, {}) ? '.' : 'k';
    return found;
  };
  EXPECT_EQ(kept("layer1.conv"), "k..");
  EXPECT_EQ(kept("layer*"), "kk.");
  EXPECT_EQ(kept("op:Conv"), "kk.");
  EXPECT_EQ(kept("op:C*"), "kk.");
  EXPECT_EQ(kept("re:^layer2"), ".k.");
  EXPECT_EQ(kept("Relu#2"), "..k");
  EXPECT_EQ(kept("conv"), "...");
  EXPECT_TRUE(is_selected(graph, first, {}, {"op:Conv"}));
  EXPECT_FALSE(is_selected(graph, relu, {}, {"op:Conv"}));
  EXPECT_FALSE(is_selected(graph, first, {"layer1*"}, {"op:Conv"}));   // keep wins
}

TEST(RequireMatches, NamesTheNearest) {
  const Graph graph = small_graph();
  EXPECT_EQ(refusal([&] { require_matches(graph, {"layer*", "op:Relu"}, "--keep"); }), "");
  EXPECT_EQ(refusal([&] { require_matches(graph, {"layer1.cnv"}, "--keep"); }),
            "E2007: --keep 'layer1.cnv' matches none of 3 nodes; nearest: 'layer1.conv', 'layer2.conv', 'Relu#2' (`niwaki inspect MODEL --ops` lists the names)");
  EXPECT_EQ(refusal([&] { require_matches(graph, {"re:("}, "--only"); }).substr(0, 6), "E2007:");
}

}  // namespace
}  // namespace niwaki
