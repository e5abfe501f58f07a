#include "compress/verify.h"

#include "compress/error.h"
#include "tests/graph_builder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace niwaki {
namespace {

using testing::HasSubstr;

std::string verdict(const Graph& graph) {
  try {
    require_valid(graph);
    return "";
  } catch (const InternalError& error) {
    return error.message();
  }
}

struct Chain {
  GraphBuilder b;
  ValueId x = b.input("x", {2}), h = b.node("Relu", {x}), y = b.node("Exp", {h});
  Chain() {
    b.output(h, "h");
    b.output(y, "y");
  }
};

TEST(RequireValid, TakesAValidGraph) { EXPECT_EQ(verdict(Chain().b.graph()), ""); }

TEST(RequireValid, RefusesAReaderBeforeItsProducer) {
  Chain chain;
  Graph graph = chain.b.graph();
  graph.reorder_main({graph.main().nodes[1], graph.main().nodes[0]});
  EXPECT_THAT(verdict(graph), HasSubstr("before it is made"));
}

TEST(RequireValid, RefusesAnOutputThatNobodyMakes) {
  Chain chain;
  Graph graph = chain.b.graph();
  graph.remove(graph.main().nodes[1]);
  EXPECT_EQ(verdict(graph), "value 'y' is an output and nobody makes it");
}

TEST(RequireValid, RefusesAnInitializerWithoutNumbers) {
  Chain chain;
  Graph graph = chain.b.graph();
  graph.edit_main().constants.push_back(graph.add_value({.name = "w"}));
  EXPECT_EQ(verdict(graph), "value 'w' is an initializer without numbers");
}

TEST(RequireValid, RefusesAValueMadeTwice) {
  Chain chain;
  Graph graph = chain.b.graph();
  graph.insert_before(std::nullopt, {.op = "Abs", .inputs = {chain.x}, .outputs = {chain.h}});
  EXPECT_THAT(verdict(graph), HasSubstr("value 'h'"));
}

}  // namespace
}  // namespace niwaki
