#include "passes/store/store_weights.h"

#include "compress/error.h"
#include "compress/footprint.h"
#include "compress/graph_text.h"
#include "compress/parallel.h"
#include "tests/apply_pass.h"
#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

Graph two_layers(int64_t opset = 17) {
  GraphBuilder b(opset);
  const ValueId h = b.node("Conv", {b.input("x", {1, 8, 9, 9}), b.random_constant("k", {32, 8, 3, 3}), b.random_constant("bias", {32})}, {}, "conv");
  b.output(b.node("MatMul", {b.node("Reshape", {h, b.constant("s", at::tensor({49, 32}, at::kLong))}), b.random_constant("w", {32, 66})}, {}, "fc"), "y");
  return b.graph();
}

TEST(StoreWeights, StoresIntegersAndKeepsBiases) {
  const Applied applied = apply_pass("store_weights", two_layers());
  const Graph& graph = applied.after;
  EXPECT_EQ(graph.constant(*graph.find_value("k")), nullptr);
  EXPECT_EQ(graph.node(*graph.producer(*graph.find_value("k"))).op, "Mul");
  EXPECT_NE(graph.constant(*graph.find_value("bias")), nullptr);
  ASSERT_EQ(applied.report.nodes.size(), 2u);
  EXPECT_GT(applied.report.nodes[0].metrics.at("sqnr_db").get<double>(), 38);
}

TEST(StoreWeights, LeavesAlone) {
  GraphBuilder b;
  const ValueId x = b.input("x", {2, 64});
  const ValueId infinite = b.constant("infinite", at::full({64, 64}, std::numeric_limits<float>::infinity()));
  const ValueId wide = b.constant("wide", at::ones({64, 64}, at::kDouble));
  b.output(b.node("MatMul", {b.input("z", {2, 16}), b.random_constant("tiny", {16, 1})}, {}, "small"), "a");
  b.output(b.node("MatMul", {x, infinite}, {}, "masked"), "b");
  b.output(b.node("MatMul", {b.node("Cast", {x}, {{"to", int64_t{11}}}), wide}, {}, "double"), "c");
  const Applied applied = apply_pass("store_weights", b.graph());
  EXPECT_EQ(applied.report.reason("small"), "its weight would not be smaller");
  EXPECT_EQ(applied.report.reason("masked"), "its weight has numbers that are not finite");
  EXPECT_EQ(applied.report.reason("double"), "its weight is float64");
  EXPECT_EQ(text(applied.after), text(applied.before));
}

TEST(StoreWeights, SparseWeightsKeepZerosAndSmallCodes) {
  const Tensor numbers = random_tensor({256, 64}, 1), kept = random_tensor({256, 64}, 2).abs() < 0.1;
  for (const int bits : {4, 8}) {
    GraphBuilder b(13);
    b.output(b.node("MatMul", {b.input("x", {1, 256}), b.constant("w", at::where(kept, numbers, at::zeros({1})))}, {}, "fc"), "y");
    const Applied integers = apply_pass("store_weights", b.graph(), {{"bits", bits}}), encoded = apply_pass("encode_constants", integers.after);
    const Tensor got = run_graph(encoded.after, {at::ones({1, 256})})[0], want = at::where(kept, numbers, at::zeros({1})).sum(0, true);
    EXPECT_LT(relative_difference(got, want), bits == 4 ? 0.1 : 0.01);
    EXPECT_LT(serialized_bytes(encoded.after), bits == 4 ? 3000 : 4000);
    const Graph plain = apply_pass("expand_stored_forms", encoded.after).after;
    EXPECT_TRUE(values(*plain.constant(*plain.find_value("w"))).masked_select(kept.logical_not()).eq(0).all().item<bool>());
  }
}

TEST(StoreWeights, PlainIntegersStandBehindDequantizeLinear) {
  for (const char* granularity : {"per_channel", "per_tensor"}) {
    const Applied applied = apply_pass("store_weights", two_layers(), {{"plain", true}, {"granularity", granularity}});
    const Graph& graph = applied.after;
    for (const auto& [name, axis] : {std::pair{"k", int64_t{0}}, std::pair{"w", int64_t{1}}}) {
      const Node& node = graph.node(*graph.producer(*graph.find_value(name)));
      EXPECT_EQ(node.op, "DequantizeLinear");
      EXPECT_EQ(graph.constant(node.inputs[0])->dtype, DType::int8);
      const bool by_channel = graph.constant(node.inputs[1])->sizes.size() == 1;
      EXPECT_EQ(by_channel, std::string(granularity) == "per_channel");
      if (by_channel) {
        EXPECT_EQ(int_attribute(node, "axis", 9), axis);
      }
    }
    const Tensor x = random_tensor({1, 8, 9, 9}, 3);
    EXPECT_LT(relative_difference(run_graph(graph, {x})[0], run_graph(applied.before, {x})[0]), 0.03);
  }
  const Applied old = apply_pass("store_weights", two_layers(11), {{"plain", true}});
  EXPECT_EQ(old.after.node(*old.after.producer(*old.after.find_value("k"))).op, "Mul") << "no scales of channels before opset 13";
}

TEST(StoreWeights, LeavesKeptNodesAlone) {
  Graph graph = two_layers();
  PassReport report{.pass = "store_weights"};
  Progress progress;
  PassContext context{.report = report, .progress = progress, .keep = {"fc"}};
  store_weights(graph, {}, context);
  EXPECT_EQ(report.reason("fc"), "kept by the caller");
  EXPECT_NE(graph.constant(*graph.find_value("w")), nullptr);
  EXPECT_EQ(graph.constant(*graph.find_value("k")), nullptr);
}

TEST(StoreWeights, RefusesBadOptions) {
  try {
    apply_pass("store_weights", two_layers(), {{"bits", 5}});
    FAIL() << "bits 5 was taken";
  } catch (const UsageError& error) {
    EXPECT_NE(std::string(error.what()).find("option 'bits' is 5; needed 4 or 8"), std::string::npos) << error.what();
  }
}

TEST(StoreWeights, SecondRunChangesNothing) {
  for (const int bits : {4, 8}) {
    const Applied once = apply_pass("store_weights", two_layers(), {{"bits", bits}});
    EXPECT_EQ(text(apply_pass("store_weights", once.after, {{"bits", bits}}).after), text(once.after));
  }
}

TEST(StoreWeights, NumbersStayWithinTheQuantizationError) {
  const Tensor x = random_tensor({1, 8, 9, 9}, 7);
  for (const int64_t opset : {7, 9, 13, 17, 21}) {
    for (const int bits : {4, 8}) {
      for (const char* granularity : {"per_tensor", "per_channel", "per_block"}) {
        const Applied applied = apply_pass("store_weights", two_layers(opset), {{"bits", bits}, {"granularity", granularity}});
        EXPECT_TRUE(applied.report.changed);
        const double difference = relative_difference(run_graph(applied.after, {x})[0], run_graph(applied.before, {x})[0]);
        EXPECT_LT(difference, bits == 4 ? 0.2 : 0.02) << opset << " " << bits << " " << granularity;
        EXPECT_GT(difference, 0);
      }
    }
  }
}

TEST(StoreWeights, TiedWeightsAreStoredOnce) {
  GraphBuilder b;
  const ValueId w = b.random_constant("w", {64, 64});
  b.output(b.node("MatMul", {b.node("MatMul", {b.input("x", {2, 64}), w}, {}, "one"), w}, {}, "two"), "y");
  const Applied applied = apply_pass("store_weights", b.graph());
  EXPECT_EQ(applied.report.nodes.size(), 2u);
  EXPECT_EQ(applied.after.main().nodes.size(), 2u + 3u);   // Cast, Cast of the scale, Mul
}

TEST(StoreWeights, SameBytesOnOneThreadAndFour) {
  set_num_threads(1);
  const Applied one = apply_pass("store_weights", two_layers(), {{"bits", 4}});
  set_num_threads(4);
  const Applied four = apply_pass("store_weights", two_layers(), {{"bits", 4}});
  set_num_threads(0);
  EXPECT_EQ(text(one.after), text(four.after));
}

}  // namespace
}  // namespace niwaki
