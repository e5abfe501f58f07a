#include "passes/prune/residual_blocks.h"

#include "compress/graph_text.h"
#include "compress/verify.h"
#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

const std::vector<int64_t> kSame = {1, 1, 1, 1};

ValueId conv(GraphBuilder& b, ValueId x, const std::string& name, std::vector<int64_t> sizes) {
  return b.node("Conv", {x, b.constant(name + ".w", random_tensor(sizes, static_cast<uint64_t>(name[0])))}, {{"pads", kSame}}, name);
}
ValueId image(GraphBuilder& b) { return b.input("x", {int64_t{1}, int64_t{4}, int64_t{6}, int64_t{6}}); }

/// Blocks "a" and "b" on a stream with a Relu behind each sum.
Graph resnet() {
  GraphBuilder b;
  ValueId x = b.node("Relu", {conv(b, image(b), "stem", {4, 4, 3, 3})}, {}, "r0");
  for (const std::string name : {"a", "b"}) {
    const ValueId branch = conv(b, b.node("Relu", {conv(b, x, name + "1", {4, 4, 3, 3})}), name + "2", {4, 4, 3, 3});
    x = b.node("Relu", {b.node("Add", {branch, x}, {}, name)}, {}, name + ".relu");
  }
  b.output(conv(b, x, "last", {2, 4, 3, 3}), "y");
  return b.graph();
}

ResidualBlocks blocks_in(const Graph& graph) { return find_residual_blocks(graph, inferred_sizes(graph)); }
std::vector<std::string> labels(const Graph& graph, const std::set<NodeId>& nodes) {
  std::vector<std::string> found;
  for (const NodeId id : nodes) found.push_back(graph.label(id));
  return found;
}

TEST(ResidualBlocks, AreFoundOnEitherSide) {
  const Graph graph = resnet();
  const ResidualBlocks found = blocks_in(graph);
  ASSERT_EQ(found.blocks.size(), 2U);
  EXPECT_EQ(found.blocks[0].skip_index, 1U);
  EXPECT_EQ(labels(graph, found.blocks[0].nodes).size(), 4U);
  EXPECT_TRUE(found.others.empty());
}

TEST(ResidualBlocks, OtherSumsHaveAReason) {
  const auto reason = [](const std::function<ValueId(GraphBuilder&, ValueId)>& make, bool is_last = false) {
    GraphBuilder b;
    ValueId sum = make(b, image(b));
    if (!is_last) sum = b.node("Relu", {sum});
    b.output(sum, "y");
    const Graph graph = b.graph();
    const ResidualBlocks found = blocks_in(graph);
    return found.others.empty() ? "" : found.others.front().reason;
  };
  EXPECT_EQ(reason([](GraphBuilder& b, ValueId x) { return b.node("Add", {conv(b, x, "p", {4, 4, 3, 3}), conv(b, x, "q", {4, 4, 3, 3})}); }), "neither input goes around the other");
  EXPECT_EQ(reason([](GraphBuilder& b, ValueId x) { return b.node("Add", {x, conv(b, x, "p", {4, 4, 3, 3})}); }, true), "its sum is an output of the model");
  EXPECT_EQ(reason([](GraphBuilder& b, ValueId x) {
              const ValueId narrow = b.node("GlobalAveragePool", {x});
              return b.node("Add", {narrow, b.node("Add", {b.node("Sigmoid", {narrow}), b.random_constant("c", {1, 4, 6, 6})})});
            }), "what goes around it has another shape");
  EXPECT_EQ(reason([](GraphBuilder& b, ValueId x) {
              const ValueId y = conv(b, x, "p", {4, 4, 3, 3});
              return b.node("Add", {y, b.node("Mul", {b.node("Sigmoid", {y}), conv(b, x, "q", {4, 4, 3, 3})})});
            }), "its branch reads more of the model than what goes around it");
  EXPECT_EQ(reason([](GraphBuilder& b, ValueId x) { return b.node("Add", {x, b.random_constant("c", {4, 1, 1})}); }), "");
}

TEST(ResidualBlocks, MasksMayComeFromAnywhere) {
  GraphBuilder b;
  const ValueId x = conv(b, image(b), "p", {4, 4, 3, 3}), mask = b.input("mask", {int64_t{1}, int64_t{4}, int64_t{6}, int64_t{6}}, DType::int64);
  const ValueId branch = b.node("Mul", {conv(b, x, "q", {4, 4, 3, 3}), b.node("Cast", {mask}, {{"to", int64_t{1}}})});
  b.output(b.node("Relu", {b.node("Add", {x, branch})}), "y");
  const Graph graph = b.graph();
  EXPECT_EQ(blocks_in(graph).blocks.size(), 1U);
}

TEST(RemoveBlocks, LeavesWhatGoesAround) {
  Graph graph = resnet();
  const Graph before = graph;
  const ResidualBlocks found = blocks_in(graph);
  const StandIns stand_ins = remove_blocks(graph, {&found.blocks[0], &found.blocks[1]});
  require_valid(graph);
  GraphBuilder b;
  b.output(conv(b, b.node("Relu", {conv(b, image(b), "stem", {4, 4, 3, 3})}, {}, "r0"), "last", {2, 4, 3, 3}), "y");
  const Tensor x = random_tensor({1, 4, 6, 6}, 5);
  EXPECT_EQ(graph.main().nodes.size(), 3U);
  EXPECT_EQ(graph.main().constants.size(), 2U);
  EXPECT_TRUE(at::equal(run_graph(graph, {x})[0], run_graph(b.graph(), {x})[0]));
  // the stem's Conv, in front of the Relu, may become the last sum
  const NodeId stem = graph.main().nodes.front();
  ASSERT_EQ(stand_ins.size(), 1U);
  EXPECT_EQ(stand_ins.at(graph.node(stem).outputs[0]), before.node(found.blocks[1].add).outputs[0]);
}

TEST(RemoveBlocks, AValueThatOthersReadStandsForItselfAlone) {
  GraphBuilder b;
  const ValueId x = conv(b, image(b), "p", {4, 4, 3, 3});
  const ValueId sum = b.node("Add", {x, conv(b, x, "q", {4, 4, 3, 3})}, {}, "sum");
  b.output(b.node("Concat", {sum, x}, {{"axis", int64_t{1}}}), "y");
  Graph graph = b.graph();
  const ResidualBlocks found = blocks_in(graph);
  ASSERT_EQ(found.blocks.size(), 1U);
  EXPECT_TRUE(remove_blocks(graph, {&found.blocks[0]}).empty());
  EXPECT_EQ(graph.main().nodes.size(), 2U);
}

}  // namespace
}  // namespace niwaki
