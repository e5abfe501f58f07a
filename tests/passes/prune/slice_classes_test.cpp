#include "passes/prune/slice_classes.h"

#include "compress/error.h"
#include "compress/verify.h"
#include "tests/graph_builder.h"

#include <gtest/gtest.h>

#include <random>

namespace niwaki {
namespace {

using Ints = std::vector<int64_t>;

struct Case {
  std::string name;
  Graph graph;
  std::vector<Tensor> inputs;
  std::vector<std::pair<ValueId, uint32_t>> columns;   // weight axes that read the channels
};

ValueId ints(GraphBuilder& b, const std::string& name, Ints numbers) { return b.constant(name, at::tensor(numbers, at::kLong)); }

/// Conv to `channels`, what `middle` does, a Conv or MatMul that reads it.
template <typename Middle>
Case between(const std::string& name, int64_t channels, int64_t left, const Middle& middle) {
  GraphBuilder b;
  ValueId h = b.node("Conv", {b.input("x", {2, 3, 4, 4}), b.random_constant("w", {channels, 3, 3, 3}), b.random_constant("b", {channels})});
  h = middle(b, h);
  const ValueId v = b.random_constant("v", {5, left, 1, 1});
  b.output(b.node("Conv", {h, v}), "y");
  return {name, b.graph(), {random_tensor({2, 3, 4, 4}, 7)}, {{v, 1}}};
}

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  cases.push_back(between("residual, norm, sigmoid", 6, 6, [](GraphBuilder& b, ValueId h) {
    const ValueId n = b.node("BatchNormalization", {h, b.random_constant("s", {6}), b.random_constant("o", {6}), b.random_constant("m", {6}),
                                                    b.constant("var", at::ones({6}))});
    return b.node("Add", {h, b.node("Sigmoid", {n})});
  }));
  cases.push_back(between("concat and slice", 6, 4, [](GraphBuilder& b, ValueId h) {
    const ValueId both = b.node("Concat", {b.node("Tanh", {h}), h}, {{"axis", int64_t{1}}});
    return b.node("Slice", {both, ints(b, "st", {3}), ints(b, "en", {7}), ints(b, "ax", {1})});
  }));
  cases.push_back(between("split", 6, 4, [](GraphBuilder& b, ValueId h) {
    const auto parts = b.node_with_outputs("Split", {h, ints(b, "sizes", {2, 4})}, 2, {{"axis", int64_t{1}}});
    return b.node("Relu", {parts[1]});
  }));
  cases.push_back(between("shuffle", 6, 6, [](GraphBuilder& b, ValueId h) {
    h = b.node("Reshape", {h, ints(b, "s5", {2, 2, 3, 2, 2})});
    h = b.node("Transpose", {h}, {{"perm", Ints{0, 2, 1, 3, 4}}});
    return b.node("Reshape", {h, ints(b, "s4", {2, 6, 2, 2})});
  }));
  cases.push_back(between("gathered order", 6, 6, [](GraphBuilder& b, ValueId h) {
    return b.node("Gather", {h, ints(b, "order", {5, 0, 3, 1, 4, 2})}, {{"axis", int64_t{1}}});
  }));
  cases.push_back(between("depthwise, twice as many", 4, 8, [](GraphBuilder& b, ValueId h) {
    return b.node("Conv", {h, b.random_constant("d", {8, 1, 3, 3}), b.random_constant("e", {8})}, {{"group", int64_t{4}}, {"pads", Ints{1, 1, 1, 1}}});
  }));
  cases.push_back(between("groups", 6, 4, [](GraphBuilder& b, ValueId h) {
    return b.node("Relu", {b.node("Conv", {h, b.random_constant("d", {4, 3, 1, 1})}, {{"group", int64_t{2}}})});
  }));
  cases.push_back(between("gate", 6, 6, [](GraphBuilder& b, ValueId h) {
    const ValueId gate = b.node("Sigmoid", {b.node("GlobalAveragePool", {h})});
    return b.node("Mul", {h, gate});
  }));
  cases.push_back(between("depth to space", 8, 2, [](GraphBuilder& b, ValueId h) {
    return b.node("DepthToSpace", {h}, {{"blocksize", int64_t{2}}, {"mode", std::string("CRD")}});
  }));
  cases.push_back(between("space to depth", 3, 12, [](GraphBuilder& b, ValueId h) { return b.node("SpaceToDepth", {h}, {{"blocksize", int64_t{2}}}); }));
  cases.push_back(between("pad", 5, 7, [](GraphBuilder& b, ValueId h) { return b.node("Pad", {h, ints(b, "p", {0, 1, 0, 0, 0, 1, 0, 0})}); }));
  cases.push_back(between("transposed conv", 5, 4, [](GraphBuilder& b, ValueId h) { return b.node("ConvTranspose", {h, b.random_constant("t", {5, 4, 2, 2})}); }));
  for (const bool nhwc : {false, true}) {
    GraphBuilder b;
    ValueId h = b.node("Conv", {b.input("x", {2, 3, 4, 4}), b.random_constant("w", {5, 3, 1, 1})});
    if (nhwc) h = b.node("Transpose", {h}, {{"perm", Ints{0, 2, 3, 1}}});
    const ValueId v = b.random_constant("v", {80, 3});
    b.output(b.node("MatMul", {b.node("Reshape", {h, ints(b, "s", {2, 80})}), v}), "y");
    cases.push_back({nhwc ? "flatten NHWC" : "flatten NCHW", b.graph(), {random_tensor({2, 3, 4, 4}, 7)}, {{v, 0}}});
  }
  for (const char* op : {"LSTM", "GRU", "RNN"}) {
    GraphBuilder b;
    const int64_t gates = op[0] == 'L' ? 4 : (op[0] == 'G' ? 3 : 1);
    const ValueId r = b.random_constant("r", {2, gates * 5, 5}), v = b.random_constant("v", {5, 3});
    const ValueId y = b.node(op, {b.input("x", {6, 1, 2}), b.random_constant("w", {2, gates * 5, 2}), r, b.random_constant("b", {2, 2 * gates * 5})},
                             {{"hidden_size", int64_t{5}}, {"direction", std::string("bidirectional")}});
    b.output(b.node("MatMul", {y, v}), "y");
    cases.push_back({op, b.graph(), {random_tensor({6, 1, 2}, 7)}, {{v, 0}, {r, 2}}});
  }
  return cases;
}

/// About a third of the classes that the columns read.
std::set<ClassId> random_classes(const Case& one, const AxisClasses& classes, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::set<ClassId> all, picked;
  for (const auto& [weight, axis] : one.columns) {
    for (const ClassId id : classes.axis(weight, axis)) {
      if (id != ClassId::frozen) all.insert(id);
    }
  }
  for (int tries = 0; tries < 50 && picked.empty(); ++tries) {   // balance may leave none
    for (const ClassId id : all) {
      if (random() % 3 == 0) picked.insert(id);
    }
    picked = without_emptied_axes(one.graph, classes, std::move(picked));
  }
  return picked;
}

/// The original with the columns of these classes at zero; `shift` turns them by so many indices.
Graph zeroed(const Case& one, const AxisClasses& classes, const std::set<ClassId>& removed, size_t shift = 0) {
  Graph graph = one.graph;
  for (const auto& [weight, axis] : one.columns) {
    Tensor numbers = values(*graph.constant(weight)).clone();
    const auto ids = classes.axis(weight, axis);
    for (size_t i = 0; i < ids.size(); ++i) {
      if (removed.contains(ids[i])) numbers.select(axis, static_cast<int64_t>((i + shift) % ids.size())).zero_();
    }
    graph.set_constant(weight, make_constant(numbers));
  }
  return graph;
}

TEST(SliceClasses, EqualsTheOriginalWithZeroedConsumers) {
  for (const Case& one : all_cases()) {
    const AxisClasses classes(one.graph);
    for (uint64_t seed = 0; seed < 4; ++seed) {
      const auto removed = random_classes(one, classes, seed);
      ASSERT_FALSE(removed.empty()) << one.name;
      Graph sliced = one.graph;
      std::vector<ValueId> changed;
      slice_classes(sliced, classes, removed, &changed);
      require_valid(sliced);
      EXPECT_FALSE(changed.empty()) << one.name;
      const Tensor got = run_graph(sliced, one.inputs).front();
      EXPECT_LT(relative_difference(got, run_graph(zeroed(one, classes, removed), one.inputs).front()), 1e-5) << one.name << ", seed " << seed;
      EXPECT_GT(relative_difference(got, run_graph(zeroed(one, classes, removed, 1), one.inputs).front()), 1e-4)
          << one.name << " shifted by one, seed " << seed;
    }
  }
}

TEST(SliceClasses, SlicesTiedWeightsOnce) {
  GraphBuilder b;
  const ValueId w = b.random_constant("w", {6, 6});
  ValueId h = b.node("MatMul", {b.input("x", {2, 3}), b.random_constant("u", {3, 6})});
  h = b.node("Relu", {b.node("MatMul", {h, w})});
  const ValueId v = b.random_constant("v", {6, 2});
  b.output(b.node("MatMul", {b.node("MatMul", {h, w}), v}), "y");
  Graph graph = b.graph();
  const AxisClasses classes(graph);
  const Case one{"tied", graph, {random_tensor({2, 3}, 3)}, {{w, 0}, {v, 0}}};
  const std::set<ClassId> removed{classes.axis(w, 0)[1], classes.axis(w, 0)[4]};
  slice_classes(graph, classes, removed);
  EXPECT_EQ(graph.constant(w)->sizes, (Ints{4, 4}));
  EXPECT_LT(relative_difference(run_graph(graph, one.inputs).front(), run_graph(zeroed(one, classes, removed), one.inputs).front()), 1e-5);
}

TEST(SliceClasses, RefusesUnbalancedGroups) {
  GraphBuilder b;
  const ValueId h = b.node("Conv", {b.input("x", {1, 3, 2, 2}), b.random_constant("w", {6, 3, 1, 1})});
  b.output(b.node("Conv", {b.node("Conv", {h, b.random_constant("d", {4, 3, 1, 1})}, {{"group", int64_t{2}}}), b.random_constant("v", {2, 4, 1, 1})}));
  Graph graph = b.graph();
  const AxisClasses classes(graph);
  const auto ids = classes.axis(h, 1);
  EXPECT_THROW(slice_classes(graph, classes, {ids[0]}), InternalError);
  EXPECT_EQ(without_emptied_axes(graph, classes, {ids[0], ids[1], ids[5]}), (std::set<ClassId>{ids[0], ids[5]}));
  slice_classes(graph, classes, {ids[0], ids[5]});
  EXPECT_EQ(graph.constant(*graph.find_value("d"))->sizes, (Ints{4, 2, 1, 1}));
}

TEST(SliceClasses, RefusesFrozenClassesAndEmptiedAxes) {
  const Case one = all_cases().front();
  Graph graph = one.graph;
  const AxisClasses classes(graph);
  EXPECT_THROW(slice_classes(graph, classes, {ClassId::frozen}), InternalError);
  const auto ids = classes.axis(one.columns[0].first, 1);
  EXPECT_THROW(slice_classes(graph, classes, {ids.begin(), ids.end()}), InternalError);
}

}  // namespace
}  // namespace niwaki
