#include "passes/quantize/assign_precision.h"

#include "compress/error.h"
#include "compress/executor.h"
#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

KnownSizes sizes_of(const Graph& graph) {
  KnownSizes sizes;
  RunValues inputs;
  for (const ValueId id : graph.main().inputs) inputs.emplace_back(random_tensor(*known_sizes(graph.value(id))));
  Executor(graph).run(inputs, [&](ValueId id, const Tensor& numbers) { sizes[id] = numbers.sizes().vec(); });
  return sizes;
}

/// Labels of the nodes with integer kernels.
std::set<std::string> integer_nodes(const Graph& graph, Placement placement = Placement::automatic, const std::set<NodeId>& refused = {}) {
  std::set<std::string> names;
  for (const NodeId id : assign_precision(graph, sizes_of(graph), placement, refused).integer) names.insert(graph.label(id));
  return names;
}

ValueId conv(GraphBuilder& b, ValueId x, int64_t in, int64_t out, const std::string& name, bool has_relu = true) {
  const ValueId y = b.node("Conv", {x, b.random_constant(name + ".w", {out, in, 3, 3}), b.random_constant(name + ".b", {out})},
                           {{"pads", std::vector<int64_t>{1, 1, 1, 1}}}, name);
  return has_relu ? b.node("Relu", {y}, {}, name + ".relu") : y;
}

Graph residual_chain(int blocks) {
  GraphBuilder b;
  ValueId x = conv(b, b.input("x", {int64_t{1}, int64_t{3}, int64_t{32}, int64_t{32}}), 3, 32, "stem");
  for (int i = 0; i < blocks; ++i) {
    const ValueId y = conv(b, conv(b, x, 32, 32, cat("a", i)), 32, 32, cat("b", i), false);
    x = b.node("Relu", {b.node("Add", {y, x}, {}, cat("add", i))}, {}, cat("out", i));
  }
  b.output(b.node("GlobalAveragePool", {x}, {}, "pool"));
  return b.graph();
}

TEST(AssignPrecision, AResidualChainIsWhollyInteger) {
  const Graph graph = residual_chain(3);
  const std::set<std::string> found = integer_nodes(graph);
  for (const char* name : {"stem", "a0", "b0", "add0", "a1", "b1", "add1", "a2", "b2", "add2"}) EXPECT_TRUE(found.contains(name)) << name;
}

TEST(AssignPrecision, ALoneTinyGemmStaysFloat) {
  GraphBuilder b;
  b.output(b.node("Gemm", {b.input("x", {int64_t{1}, int64_t{8}}), b.random_constant("w", {8, 4})}, {}, "gemm"));
  const Graph graph = b.graph();
  const PrecisionPlan plan = assign_precision(graph, sizes_of(graph), Placement::automatic, {});
  EXPECT_TRUE(plan.integer.empty());
  ASSERT_EQ(plan.kept.size(), 1u);
  EXPECT_EQ(plan.kept.begin()->second.rfind("an integer kernel does not pay here: ", 0), 0u);
  EXPECT_EQ(plan.float_us, plan.planned_us);
  EXPECT_EQ(integer_nodes(graph, Placement::all), std::set<std::string>{"gemm"});
}

TEST(AssignPrecision, ALargeGemmIsInteger) {
  GraphBuilder b;
  b.output(b.node("Gemm", {b.input("x", {int64_t{1}, int64_t{1024}}), b.random_constant("w", {1024, 1024})}, {}, "gemm"));
  EXPECT_EQ(integer_nodes(b.graph()), std::set<std::string>{"gemm"});
}

TEST(AssignPrecision, RefusedNodesStayFloatWithThatReason) {
  const Graph graph = residual_chain(1);
  std::set<NodeId> refused;
  for (const NodeId id : graph.main().nodes) {
    if (graph.label(id) == "a0") refused.insert(id);
  }
  for (const Placement placement : {Placement::automatic, Placement::all}) {
    const PrecisionPlan plan = assign_precision(graph, sizes_of(graph), placement, refused);
    EXPECT_FALSE(plan.integer.contains(*refused.begin()));
    EXPECT_EQ(plan.kept.at(*refused.begin()), "kept in float as asked");
  }
}

TEST(AssignPrecision, PoolsFollowTheirNeighbours) {
  const auto graph_of = [](bool is_integer) {
    GraphBuilder b;
    const int64_t size = is_integer ? 32 : 2;
    ValueId x = b.input("x", {int64_t{1}, int64_t{32}, size, size});
    x = conv(b, x, 32, 32, "before");
    x = b.node("MaxPool", {x}, {{"kernel_shape", std::vector<int64_t>{2, 2}}, {"strides", std::vector<int64_t>{2, 2}}}, "pool");
    b.output(conv(b, x, 32, 32, "after"));
    return b.graph();
  };
  EXPECT_EQ(integer_nodes(graph_of(true)), (std::set<std::string>{"before", "pool", "after"}));
  const std::set<std::string> small = integer_nodes(graph_of(false));
  EXPECT_TRUE(small.empty() || small.contains("pool"));         // never alone in the other precision
}

TEST(AssignPrecision, ActivationsAreTakenInByTheirConv) {
  GraphBuilder b;
  const ValueId x = b.input("x", {int64_t{1}, int64_t{32}, int64_t{32}, int64_t{32}});
  const ValueId clip = b.node("Clip", {conv(b, x, 32, 32, "six", false), b.constant("zero", at::scalar_tensor(0.0f)), b.constant("6", at::scalar_tensor(6.0f))}, {}, "clip");
  b.output(b.node("Clip", {conv(b, clip, 32, 32, "one", false), b.constant("-1", at::scalar_tensor(-1.0f))}, {}, "other"));
  const Graph graph = b.graph();
  const PrecisionPlan plan = assign_precision(graph, sizes_of(graph), Placement::all, {});
  std::map<std::string, std::string> taken;
  for (const IntegerUnit& unit : plan.units) taken[graph.label(unit.node)] = unit.activation ? graph.label(*unit.activation) : "";
  EXPECT_EQ(taken, (std::map<std::string, std::string>{{"six", "clip"}, {"one", ""}}));
}

TEST(AssignPrecision, NodesThatNoKernelComputesAreNoCandidates) {
  GraphBuilder b;
  const ValueId x = b.input("x", {int64_t{3}, int64_t{64}});
  b.output(b.node("Gemm", {x, b.random_constant("w1", {64, 64})}, {{"alpha", 0.5f}}, "scaled"));
  b.output(b.node("Gemm", {x, b.random_constant("w2", {3, 64})}, {{"transA", int64_t{1}}}, "transposed"));
  b.output(b.node("Gemm", {x, b.random_constant("w3", {64, 64}), b.random_constant("c", {3, 64})}, {}, "matrix"));
  b.output(b.node("MatMul", {b.random_constant("w4", {5, 3}), x}, {}, "left"));
  b.output(b.node("Gemm", {x, b.random_constant("w5", {64, 64}), b.random_constant("d", {1, 64})}, {}, "row"));
  EXPECT_EQ(integer_nodes(b.graph(), Placement::all), std::set<std::string>{"row"});
}

TEST(AssignPrecision, NeverLosesTimeByItsOwnTable) {
  for (const int blocks : {0, 1, 2}) {
    const Graph graph = residual_chain(blocks);
    const PrecisionPlan plan = assign_precision(graph, sizes_of(graph), Placement::automatic, {});
    EXPECT_LE(plan.planned_us, plan.float_us);
  }
}

}  // namespace
}  // namespace niwaki
