#include "compress/graph.h"

#include "compress/error.h"
#include "compress/verify.h"
#include "tests/graph_builder.h"

#include <gmock/gmock.h>

namespace niwaki {
namespace {

using testing::ElementsAre;

/// x -> Relu (a) -> Relu (b) -> out
struct Chain {
  GraphBuilder b{17};
  ValueId x = b.input("x", {int64_t{2}});
  ValueId h = b.node("Relu", {x}, {}, "a");
  ValueId y = b.node("Relu", {h}, {}, "b");
  Graph graph() {
    b.output(y, "out");
    return b.graph();
  }
};

TEST(GraphTest, EditsKeepLinksBothWays) {
  Chain chain;
  Graph graph = chain.graph();
  const NodeId a = graph.main().nodes[0], last = graph.main().nodes[1];
  const uint64_t revision = graph.revision();
  const ValueId made = graph.add_value({.name = graph.fresh_name("mid")});
  const NodeId neg = graph.insert_after(a, {.op = "Neg", .inputs = {chain.h}, .outputs = {made}});
  graph.set_input(last, 0, made);
  EXPECT_GT(graph.revision(), revision);
  EXPECT_THAT(graph.main().nodes, ElementsAre(a, neg, last));
  EXPECT_THAT(graph.consumers(chain.h), ElementsAre(neg));
  EXPECT_THAT(graph.consumers(made), ElementsAre(last));
  EXPECT_EQ(graph.producer(made), neg);
  require_valid(graph);
  graph.replace_uses(made, chain.h);
  graph.remove(neg);
  EXPECT_FALSE(graph.exists(neg));
  EXPECT_EQ(graph.producer(made), std::nullopt);
  EXPECT_THAT(graph.consumers(chain.h), ElementsAre(last));
  require_valid(graph);
  EXPECT_TRUE(at::equal(run_graph(graph, {at::tensor({-1.f, 2.f})})[0], at::tensor({0.f, 2.f})));
}

TEST(GraphTest, ReadingAValueTwiceCountsOnce) {
  GraphBuilder b;
  const ValueId x = b.input("x", {int64_t{2}});
  b.output(b.node("Mul", {x, x}));
  Graph graph = b.graph();
  EXPECT_EQ(graph.consumers(x).size(), 1u);
  const ValueId other = graph.add_constant("one", make_constant(at::ones({2})));
  graph.set_input(graph.main().nodes[0], 0, other);
  EXPECT_EQ(graph.consumers(x).size(), 1u);           // still read by the second input
  graph.set_input(graph.main().nodes[0], 1, other);
  EXPECT_TRUE(graph.consumers(x).empty());
}

TEST(GraphTest, ReplaceUsesMovesOutputs) {
  Chain chain;
  Graph graph = chain.graph();
  graph.replace_uses(chain.y, chain.h);
  EXPECT_EQ(graph.main().outputs.at(0), chain.h);
  EXPECT_TRUE(graph.is_output(chain.h));
  EXPECT_FALSE(graph.is_output(chain.y));
}

TEST(GraphTest, LabelsAreNamesWhileTheyAreUnique) {
  Chain chain;
  Graph graph = chain.graph();
  const NodeId a = graph.main().nodes[0], last = graph.main().nodes[1];
  EXPECT_EQ(graph.label(a), "a");
  graph.set_node_name(last, "a");
  EXPECT_EQ(graph.label(a), "Relu#0");
  EXPECT_EQ(graph.label(last), "Relu#1");
  graph.set_node_name(last, "");
  EXPECT_EQ(graph.label(a), "a");
}

TEST(GraphTest, FreshNamesAreFree) {
  Chain chain;
  Graph graph = chain.graph();
  EXPECT_EQ(graph.fresh_name("new"), "new");
  EXPECT_EQ(graph.fresh_name("x"), "x_2");
  const ValueId first = graph.add_constant("x", make_constant(at::ones({1})));
  EXPECT_EQ(graph.value(first).name, "x_2");
  EXPECT_EQ(graph.value(graph.add_constant("x", make_constant(at::ones({1})))).name, "x_3");
  graph.rename_value(first, "moved");
  EXPECT_EQ(graph.fresh_name("x"), "x_2");
  EXPECT_EQ(graph.find_value("moved"), first);
  EXPECT_EQ(graph.find_value("nobody"), std::nullopt);
}

TEST(GraphTest, CopiesAreIndependent) {
  Chain chain;
  const Graph before = chain.graph();
  Graph after = before;
  after.remove(after.main().nodes[1]);
  after.set_constant(after.add_constant("c", make_constant(at::ones({1}))), make_constant(at::zeros({1})));
  EXPECT_EQ(before.main().nodes.size(), 2u);
  EXPECT_TRUE(before.exists(before.main().nodes[1]));
  EXPECT_EQ(before.find_value("c"), std::nullopt);
}

TEST(GraphTest, ConstantsComeAndGo) {
  Chain chain;
  Graph graph = chain.graph();
  const ValueId c = graph.add_constant("c", make_constant(at::ones({2, 3})));
  EXPECT_EQ(known_sizes(graph.value(c)), (std::vector<int64_t>{2, 3}));
  EXPECT_THAT(graph.main().constants, ElementsAre(c));
  graph.remove_constant(c);
  EXPECT_EQ(graph.constant(c), nullptr);
  EXPECT_TRUE(graph.main().constants.empty());
}

TEST(GraphTest, BodiesReadOuterValues) {
  GraphBuilder b;
  const ValueId condition = b.input("c", {}, DType::boolean), x = b.input("x", {int64_t{2}});
  const ValueId chosen = b.node("If", {condition});
  b.output(chosen);
  Graph graph = b.graph();
  const NodeId choice = *graph.producer(chosen);
  Node node = graph.node(choice);
  graph.remove(choice);
  for (const char* name : {"then_branch", "else_branch"}) {
    const ValueId made = graph.add_value({.name = graph.fresh_name("made")});
    node.bodies[name] = {.name = name, .outputs = {made}, .nodes = {graph.add_node({.op = std::string(name)[0] == 't' ? "Relu" : "Neg", .inputs = {x}, .outputs = {made}})}};
  }
  graph.insert_before(std::nullopt, std::move(node));
  graph.index();
  require_valid(graph);
  EXPECT_EQ(graph.consumers(x).size(), 2u);
  EXPECT_EQ(graph.all_nodes().size(), 3u);
  EXPECT_EQ(graph.all_nodes().back(), graph.main().nodes[0]);
  const Tensor input = at::tensor({-1.f, 2.f});
  EXPECT_TRUE(at::equal(run_graph(graph, {at::scalar_tensor(true, at::kBool), input})[0], at::relu(input)));
  EXPECT_TRUE(at::equal(run_graph(graph, {at::scalar_tensor(false, at::kBool), input})[0], -input));
  graph.remove(graph.main().nodes[0]);
  EXPECT_TRUE(graph.consumers(x).empty());
}

TEST(ConstantTest, PackedTypesCountElementsAndBytes) {
  const Constant packed = make_constant(at::tensor({-8, 7, 1}), DType::int4);
  EXPECT_EQ(element_count(packed), 3);
  EXPECT_EQ(byte_size(packed), 2);
  EXPECT_EQ(raw_bytes(packed).size(), 2u);
  EXPECT_TRUE(at::equal(values(packed), at::tensor({-8, 7, 1}, at::kChar)));
  EXPECT_EQ(byte_size(make_constant(at::zeros({0, 3}))), 0);
}

TEST(ConstantTest, SameContentComparesBits) {
  const auto floats = [](std::vector<float> numbers) { return make_constant(at::tensor(numbers)); };
  EXPECT_TRUE(same_content(floats({1, NAN}), floats({1, NAN})));
  EXPECT_FALSE(same_content(floats({0.0f}), floats({-0.0f})));
  EXPECT_FALSE(same_content(floats({1, 2}), make_constant(at::tensor({1.f, 2.f}).reshape({2, 1}))));
  EXPECT_FALSE(same_content(make_constant(at::ones({2}, at::kByte)), make_constant(at::ones({2}, at::kChar))));
}

TEST(AttributeTest, ReadsDefaultsAndRefusesOtherTypes) {
  const Node node{.name = "n", .op = "Cast", .attributes = {{"to", int64_t{7}}, {"f", 0.5f}, {"s", std::string("t")}, {"l", std::vector<int64_t>{1, 2}}}};
  EXPECT_EQ(int_attribute(node, "to", 1), 7);
  EXPECT_EQ(int_attribute(node, "absent", 1), 1);
  EXPECT_EQ(float_attribute(node, "f", 0), 0.5f);
  EXPECT_EQ(string_attribute(node, "s", ""), "t");
  EXPECT_THAT(ints_attribute(node, "l"), ElementsAre(1, 2));
  EXPECT_TRUE(has_attribute(node, "to"));
  try {
    float_attribute(node, "to", 0);
    FAIL();
  } catch (const ModelError& error) {
    EXPECT_EQ(error.code(), "E1108");
    EXPECT_EQ(error.details().where, "node 'n'");
  }
}

}  // namespace
}  // namespace niwaki
