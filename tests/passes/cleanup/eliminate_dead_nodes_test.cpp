#include "passes/cleanup/eliminate_dead_nodes.h"

#include "compress/graph_text.h"
#include "tests/apply_pass.h"
#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

TEST(EliminateDeadNodes, RemovesBranchesAndTheirConstants) {
  GraphBuilder b;
  const ValueId x = b.input("x", {2, 4});
  b.node("Exp", {b.node("MatMul", {x, b.random_constant("w", {4, 4})}, {}, "fc")}, {}, "exp");
  b.output(b.node("Relu", {x}), "y");
  const Applied applied = apply_pass("eliminate_dead_nodes", b.graph());
  EXPECT_EQ(text(applied.after), "input x: float32 [2, 4]\ny = Relu(x)\noutput y\n");
  EXPECT_EQ(applied.report.nodes.size(), 3U);
  EXPECT_FALSE(apply_pass("eliminate_dead_nodes", applied.after).report.changed);
}

TEST(EliminateDeadNodes, KeepsWhatABodyCaptures) {
  GraphBuilder b;
  const ValueId x = b.input("x", {2}), condition = b.input("c", {}, DType::boolean);
  const ValueId h = b.node("Exp", {x}, {}, "exp");
  const ValueId y = b.node("If", {condition}, {}, "if");
  b.output(y, "y");
  Graph graph = b.graph();
  Node node = graph.node(*graph.producer(y));
  for (const char* branch : {"then_branch", "else_branch"}) {
    const ValueId inner = graph.add_value({.name = branch, .dtype = DType::float32, .shape = Shape{int64_t{2}}});
    const NodeId id = graph.add_node({.op = "Relu", .inputs = {h}, .outputs = {inner}});
    node.bodies[branch] = {.name = branch, .outputs = {inner}, .nodes = {id}};
  }
  graph.remove(*graph.producer(y));
  graph.insert_before(std::nullopt, node);
  graph.index();
  const Applied applied = apply_pass("eliminate_dead_nodes", graph);
  EXPECT_FALSE(applied.report.changed);
}

TEST(EliminateDeadNodes, KeepsAnInitializerThatACallerMaySet) {
  GraphBuilder b;
  const ValueId w = b.constant("w", at::ones({2}));
  b.output(b.node("Relu", {b.input("x", {2})}), "y");
  Graph graph = b.graph();
  graph.edit_main().inputs.push_back(w);
  const Applied applied = apply_pass("eliminate_dead_nodes", graph);
  EXPECT_EQ(applied.report.reason("w"), "a caller may set this input");
  EXPECT_FALSE(applied.report.changed);
}

}  // namespace
}  // namespace niwaki
