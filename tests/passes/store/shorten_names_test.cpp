#include "passes/store/shorten_names.h"

#include "compress/error.h"
#include "compress/graph_text.h"
#include "compress/parallel.h"
#include "tests/apply_pass.h"
#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

Graph long_names() {
  GraphBuilder b;
  const ValueId x = b.input("0", {1, 4});    // an interface name that a counter would take
  const ValueId h = b.node("MatMul", {x, b.random_constant("encoder.layers.0.weight", {4, 4})}, {}, "/encoder/layers.0/MatMul");
  b.output(b.node("Add", {h, h}, {}, "/encoder/Add"), "1");
  return b.graph();
}

TEST(ShortenNames, CountsInnerValues) {
  const Applied applied = apply_pass("shorten_names", long_names());
  const Graph& graph = applied.after;
  EXPECT_FALSE(graph.find_value("encoder.layers.0.weight"));
  EXPECT_TRUE(graph.find_value("2"));
  EXPECT_TRUE(graph.find_value("3"));
  EXPECT_EQ(graph.node(graph.main().nodes[0]).name, "");
  ASSERT_EQ(applied.report.changes.size(), 1u);
  EXPECT_EQ(applied.report.changes[0].second, "2 inner values renamed, names of 2 nodes dropped");
}

TEST(ShortenNames, LeavesMentionedNamesAlone) {
  Graph graph = long_names();
  graph.edit_main().rest.bytes = "..encoder.layers.0.weight..";
  EXPECT_TRUE(apply_pass("shorten_names", graph).after.find_value("encoder.layers.0.weight"));
}

TEST(ShortenNames, KeepsNodeNamesWhenAsked) {
  const Graph graph = apply_pass("shorten_names", long_names(), {{"keep_node_names", true}}).after;
  EXPECT_EQ(graph.node(graph.main().nodes[0]).name, "/encoder/layers.0/MatMul");
}

TEST(ShortenNames, RefusesBadOptions) { EXPECT_THROW(apply_pass("shorten_names", long_names(), {{"keep_node_names", 3}}), UsageError); }

TEST(ShortenNames, SecondRunChangesNothing) {
  const Applied once = apply_pass("shorten_names", long_names()), twice = apply_pass("shorten_names", once.after);
  EXPECT_EQ(text(twice.after), text(once.after));
  EXPECT_FALSE(twice.report.changed);
}

TEST(ShortenNames, NumbersAndThreads) {
  const Tensor x = random_tensor({1, 4}, 1);
  set_num_threads(4);
  const Applied applied = apply_pass("shorten_names", long_names());
  set_num_threads(1);
  EXPECT_EQ(text(apply_pass("shorten_names", long_names()).after), text(applied.after));
  set_num_threads(0);
  EXPECT_TRUE(at::equal(run_graph(applied.after, {x})[0], run_graph(applied.before, {x})[0]));
}

}  // namespace
}  // namespace niwaki
