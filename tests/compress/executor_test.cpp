#include "compress/executor.h"

#include "compress/error.h"
#include "compress/parallel.h"
#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

Graph classifier() {
  GraphBuilder b;
  const ValueId h = b.node("Relu", {b.node("MatMul", {b.input("x", {std::string("n"), int64_t{4}}), b.random_constant("w", {4, 8})})});
  b.output(b.node("Softmax", {b.node("MatMul", {h, b.random_constant("v", {8, 3})})}, {{"axis", int64_t{1}}}));
  return b.graph();
}

TEST(Executor, ComputesTheGraph) {
  const Graph graph = classifier();
  const Tensor x = random_tensor({5, 4});
  const Tensor w = values(*graph.constant(*graph.find_value("w"))), v = values(*graph.constant(*graph.find_value("v")));
  const Tensor wanted = at::softmax(at::matmul(at::relu(at::matmul(x, w)), v), 1);
  EXPECT_LT(relative_difference(run_graph(graph, {x})[0], wanted), 1e-6);
}

TEST(Executor, ShowsInputsAndEveryValue) {
  const Graph graph = classifier();
  std::map<ValueId, std::vector<int64_t>> seen;
  Executor(graph).run(RunValues{random_tensor({2, 4})}, [&](ValueId id, const Tensor& numbers) { seen[id] = numbers.sizes().vec(); });
  EXPECT_EQ(seen.size(), 5u);
  EXPECT_EQ(seen.at(graph.main().inputs[0]), (std::vector<int64_t>{2, 4}));
  EXPECT_EQ(seen.at(graph.main().outputs[0]), (std::vector<int64_t>{2, 3}));
}

TEST(Executor, RunsFromSeveralThreadsAtOnce) {
  const Graph graph = classifier();
  const Executor executor(graph);
  std::vector<Tensor> found(32);
  set_num_threads(4);
  parallel_for(32, [&](int64_t i) { found[static_cast<size_t>(i)] = executor.run(RunValues{random_tensor({3, 4}, static_cast<uint64_t>(i))})[0].tensor; });
  set_num_threads(0);
  for (size_t i = 0; i < found.size(); ++i) EXPECT_TRUE(at::equal(found[i], run_graph(graph, {random_tensor({3, 4}, i)})[0])) << i;
}

TEST(Executor, InputsWithInitializersAreNotAskedFor) {
  GraphBuilder b;
  const ValueId x = b.input("x", {int64_t{2}}), w = b.constant("w", at::tensor({3.f, 4.f}));
  b.output(b.node("Add", {x, w}));
  Graph graph = b.graph();
  graph.edit_main().inputs.push_back(w);
  graph.index();
  EXPECT_EQ(Executor(graph).inputs(), std::vector<ValueId>{x});
  EXPECT_TRUE(at::equal(run_graph(graph, {at::ones({2})})[0], at::tensor({4.f, 5.f})));
}

TEST(Executor, RefusesOperatorsThatItLacksBeforeItRuns) {
  GraphBuilder b;
  const ValueId h = b.node("Mystery", {b.input("x", {int64_t{2}})}, {}, "first", "com.example");
  b.output(b.node("Riddle", {h}, {}, "second", "com.example"));
  const Graph graph = b.graph();
  EXPECT_EQ(unsupported_nodes(graph), (std::vector<std::string>{"first (com.example.Mystery)", "second (com.example.Riddle)"}));
  try {
    const Executor executor(graph);
    FAIL();
  } catch (const UnsupportedError& error) {
    EXPECT_EQ(error.code(), "E3101");
    EXPECT_EQ(error.message(), "the built-in executor cannot run first (com.example.Mystery), second (com.example.Riddle)");
  }
}

TEST(Executor, NamesTheNodeThatFails) {
  GraphBuilder b;
  b.output(b.node("Add", {b.input("x", {std::string("n")}), b.random_constant("w", {3})}, {}, "sum"));
  const Graph graph = b.graph();
  try {
    run_graph(graph, {at::ones({2})});
    FAIL();
  } catch (const ModelError& error) {
    EXPECT_EQ(error.code(), "E1320");
    EXPECT_EQ(error.details().where, "node 'sum' (Add)");
  }
  EXPECT_THROW(run_graph(graph, {}), UsageError);
}

TEST(Executor, GradientsReachTrainableConstants) {
  const Graph graph = classifier();
  const ValueId w = *graph.find_value("w"), v = *graph.find_value("v");
  const Executor executor(graph, {.trainable = {w}});
  executor.run(RunValues{random_tensor({5, 4})})[0].tensor.select(1, 0).sum().backward();
  EXPECT_TRUE(executor.parameter(w).grad().defined());
  EXPECT_GT(executor.parameter(w).grad().abs().sum().item<float>(), 0);
  EXPECT_FALSE(executor.parameter(v).requires_grad());
  EXPECT_FALSE(graph.constant(w)->storage.requires_grad());       // the graph's own numbers stay as they are
}

TEST(Executor, RunsOnlyWhatAValueNeeds) {
  GraphBuilder b;
  const ValueId x = b.input("x", {2});
  const ValueId h = b.node("Relu", {x});
  const ValueId y = b.node("Neg", {h});
  b.output(y);
  const Graph graph = b.graph();
  const Executor executor(graph, {.until = {h}});
  std::set<ValueId> seen;
  RunValue value;
  value.tensor = at::tensor({-1.0F, 2.0F});
  value.dtype = DType::float32;
  const RunValues found = executor.run(std::vector<RunValue>{value}, [&](ValueId id, const Tensor&) { seen.insert(id); });
  ASSERT_EQ(found.size(), 1u);
  EXPECT_TRUE(at::equal(found[0].tensor, at::tensor({0.0F, 2.0F})));
  EXPECT_FALSE(seen.contains(y));
}

}  // namespace
}  // namespace niwaki
