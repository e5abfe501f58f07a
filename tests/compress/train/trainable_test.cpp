#include "compress/train/trainable.h"

#include "tests/graph_builder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace niwaki {
namespace {

Strings names(const Graph& graph, const std::set<ValueId>& ids) {
  Strings all;
  for (const ValueId id : ids) all.push_back(graph.value(id).name);
  return all;
}

TEST(Trainable, FindsWeightsAndLeavesSettings) {
  GraphBuilder b;
  const ValueId x = b.input("x", {std::string("n"), int64_t{2}, int64_t{4}, int64_t{4}});
  ValueId y = b.node("Conv", {x, b.random_constant("w", {3, 2, 3, 3}), b.random_constant("bias", {3})});
  y = b.node("BatchNormalization", {y, b.random_constant("gain", {3}), b.random_constant("shift", {3}), b.random_constant("mean", {3}), b.constant("variance", at::ones({3}))});
  y = b.node("Clip", {y, b.constant("low", at::scalar_tensor(0.0f)), b.constant("high", at::scalar_tensor(6.0f))});
  y = b.node("Mul", {y, b.constant("half", at::full({1}, 0.5f))});
  y = b.node("Pow", {y, b.constant("exponent", at::tensor({2.0f, 2.0f}))});
  y = b.node("Reshape", {y, b.constant("sizes", at::tensor(std::vector<int64_t>{0, -1}))});
  const ValueId turned = b.node("Transpose", {b.random_constant("turned", {5, 12})});
  y = b.node("Add", {b.node("MatMul", {y, turned}), b.random_constant("offset", {5})});
  b.output(y);
  const Graph graph = b.graph();
  EXPECT_THAT(names(graph, trainable_constants(graph)), testing::UnorderedElementsAre("w", "bias", "gain", "shift", "turned", "offset"));
}

TEST(Trainable, LeavesScalesOfQuantizationAndIntegers) {
  GraphBuilder b;
  const ValueId x = b.input("x", {std::string("n"), int64_t{4}});
  const ValueId scale = b.constant("scale", at::full({3}, 0.1f)), zero = b.constant("zero", at::zeros({3}, at::kChar));
  const std::map<std::string, Attribute> axis{{"axis", int64_t{1}}};
  const ValueId fake = b.node("DequantizeLinear", {b.node("QuantizeLinear", {b.random_constant("w", {4, 3}), scale, zero}, axis), scale, zero}, axis);
  const ValueId stored = b.node("DequantizeLinear", {b.constant("codes", at::ones({3, 3}, at::kChar)), scale, zero}, axis);
  b.output(b.node("MatMul", {b.node("MatMul", {x, fake}), stored}));
  const Graph graph = b.graph();
  EXPECT_THAT(names(graph, trainable_constants(graph)), testing::ElementsAre("w"));
}

TEST(Trainable, SelectsByEveryReader) {
  GraphBuilder b;
  const ValueId tied = b.random_constant("tied", {4, 4});
  ValueId y = b.node("MatMul", {b.input("x", {std::string("n"), int64_t{4}}), tied}, {}, "first");
  y = b.node("MatMul", {b.node("MatMul", {y, b.random_constant("own", {4, 4})}, {}, "second"), tied}, {}, "third");
  b.output(y);
  const Graph graph = b.graph();
  EXPECT_EQ(trainable_constants(graph).size(), 2u);
  const auto chosen = trainable_constants(graph, {}, [&](NodeId id) { return graph.node(id).name != "third"; });
  EXPECT_THAT(names(graph, chosen), testing::ElementsAre("own"));
}

TEST(Trainable, ListsWhereTheGradientEnds) {
  GraphBuilder b;
  const ValueId w = b.random_constant("w", {4, 3});
  const ValueId y = b.node("MatMul", {b.input("x", {std::string("n"), int64_t{4}}), w}, {}, "layer");
  b.output(b.node("ArgMax", {y}, {{"axis", int64_t{1}}}, "choice"));
  b.output(b.node("Shape", {y}, {}, "sizes"));
  const Graph graph = b.graph();
  EXPECT_THAT(gradient_cuts(graph, {w}), testing::ElementsAre("choice (ArgMax)"));
  EXPECT_TRUE(trainable_constants(graph).empty());
}

TEST(Trainable, FollowsTheWantedValues) {
  GraphBuilder b;
  const ValueId first = b.node("MatMul", {b.input("x", {std::string("n"), int64_t{4}}), b.random_constant("w", {4, 4})});
  b.output(b.node("MatMul", {first, b.random_constant("v", {4, 2})}));
  const Graph graph = b.graph();
  EXPECT_THAT(names(graph, trainable_constants(graph, {first})), testing::ElementsAre("w"));
}

}  // namespace
}  // namespace niwaki
