#include "passes/quantize/quantize_static.h"

#include "compress/dataset.h"
#include "compress/footprint.h"
#include "compress/graph_text.h"
#include "compress/onnx/proto.h"
#include "compress/parallel.h"
#include "compress/random.h"
#include "formats/samples.h"
#include "passes/quantize/affine.h"
#include "tests/apply_pass.h"
#include "tests/graph_builder.h"

#include <gtest/gtest.h>
#include <onnx/onnx_pb.h>

namespace niwaki {
namespace {

const std::vector<int64_t> kSame = {1, 1, 1, 1};

ValueId conv(GraphBuilder& b, ValueId x, int64_t in, int64_t out, const std::string& name, bool has_relu = true, int64_t stride = 1) {
  const Tensor w = random_tensor({out, in, 3, 3}, name.size() + static_cast<uint64_t>(in)) / std::sqrt(4.5 * static_cast<double>(in));
  const ValueId y = b.node("Conv", {x, b.constant(name + ".w", w), b.random_constant(name + ".b", {out})},
                           {{"pads", kSame}, {"strides", std::vector<int64_t>{stride, stride}}}, name);
  return has_relu ? b.node("Relu", {y}, {}, name + ".relu") : y;
}

/// Two residual blocks, a pool and a classifier, of opset `opset`.
Graph residual_net(int64_t opset = 17, int64_t width = 16) {
  GraphBuilder b(opset);
  ValueId x = conv(b, b.input("x", {std::string("n"), int64_t{3}, int64_t{16}, int64_t{16}}), 3, width, "stem");
  for (int i = 0; i < 2; ++i) {
    const ValueId y = conv(b, conv(b, x, width, width, cat("a", i)), width, width, cat("b", i), false);
    x = b.node("Relu", {b.node("Add", {y, x}, {}, cat("add", i))}, {}, cat("out", i));
  }
  x = b.node("MaxPool", {x}, {{"kernel_shape", std::vector<int64_t>{2, 2}}, {"strides", std::vector<int64_t>{2, 2}}}, "pool");
  x = b.node("Flatten", {b.node("GlobalAveragePool", {x}, {}, "average")}, {}, "flatten");
  b.output(b.node("Gemm", {x, b.random_constant("fc.w", {width, 10}), b.random_constant("fc.b", {1, 10})}, {}, "fc"), "logits");
  return b.graph();
}

Tensor samples(int64_t count = 48) { return random_tensor({count, 3, 16, 16}, 11); }

Applied quantized(const Graph& graph, Json options = Json::object(), const std::vector<std::string>& keep = {}) {
  options.emplace("placement", "all");
  const Dataset data(graph, samples_of({{"x", samples()}}), {.batch = 8}, "data");
  if (keep.empty()) return apply_pass("quantize_static", graph, options, &data);
  Applied applied{graph, graph, {}};
  Progress progress;
  PassContext context{.report = applied.report, .progress = progress, .calibration = &data, .keep = keep};
  quantize_static(applied.after, parse_options<QuantizeStaticOptions>(options), context);
  return applied;
}

const Node* find_node(const Graph& graph, const std::string& name) {
  for (const NodeId id : graph.main().nodes) {
    if (graph.node(id).name == name) return &graph.node(id);
  }
  return nullptr;
}
const Node& producer_of(const Graph& graph, ValueId id) { return graph.node(graph.producer(id).value()); }
Tensor constant_of(const Graph& graph, ValueId id) { return values(*graph.constant(id)); }

TEST(QuantizeStatic, GivesEveryLinearNodeIntegerOperands) {
  const Applied applied = quantized(residual_net());
  for (const char* name : {"stem", "a0", "b0", "a1", "b1", "fc"}) {
    const Node* node = find_node(applied.after, name);
    ASSERT_NE(node, nullptr) << name;
    ASSERT_EQ(node->inputs.size(), 3u) << name;
    const DType wanted[] = {DType::uint8, DType::int8, DType::int32};
    for (size_t i = 0; i < 3; ++i) {
      const Node& source = producer_of(applied.after, node->inputs[i]);
      ASSERT_EQ(source.op, "DequantizeLinear") << name;
      const ValueId codes = source.inputs[0];
      const DType found = applied.after.constant(codes) ? applied.after.constant(codes)->dtype : applied.after.value(codes).dtype;
      EXPECT_EQ(found, wanted[i]) << name << " input " << i;
    }
  }
  EXPECT_LT(serialized_bytes(applied.after), serialized_bytes(applied.before) * 45 / 100);
}

TEST(QuantizeStatic, ComputesNearlyTheSame) {
  for (const bool is_symmetric : {false, true}) {
    const Applied applied = quantized(residual_net(), {{"symmetric", is_symmetric}});
    const Tensor x = samples();
    const Tensor before = run_graph(applied.before, {x})[0], after = run_graph(applied.after, {x})[0];
    EXPECT_GT(sqnr_db(before, after), is_symmetric ? 22.0 : 25.0);
    EXPECT_LT(sqnr_db(before, after), 70.0);            // something was rounded
  }
}

TEST(QuantizeStatic, BiasScaleIsTheExactProduct) {
  for (const char* granularity : {"per_channel", "per_tensor"}) {
    const Applied applied = quantized(residual_net(), {{"granularity", granularity}});
    size_t num_biases = 0;
    for (const NodeId id : applied.after.main().nodes) {
      const Node& node = applied.after.node(id);
      if ((node.op != "Conv" && node.op != "Gemm") || node.inputs.size() < 3) continue;
      const Node &x = producer_of(applied.after, node.inputs[0]), &w = producer_of(applied.after, node.inputs[1]), &b = producer_of(applied.after, node.inputs[2]);
      const Tensor product = constant_of(applied.after, x.inputs[1]) * constant_of(applied.after, w.inputs[1]);
      EXPECT_TRUE(at::equal(constant_of(applied.after, b.inputs[1]), product)) << node.name;     // bitwise
      EXPECT_EQ(b.inputs.size(), 2u);                                                            // zero_point 0
      ++num_biases;
    }
    EXPECT_EQ(num_biases, 6u);
  }
}

TEST(QuantizeStatic, ScalesPerTensorHaveRankZero) {
  for (const char* granularity : {"per_channel", "per_tensor"}) {
    const Applied applied = quantized(residual_net(), {{"granularity", granularity}});
    for (const NodeId id : applied.after.main().nodes) {
      const Node& node = applied.after.node(id);
      if (node.op != "QuantizeLinear" && node.op != "DequantizeLinear") continue;
      const Constant& scale = *applied.after.constant(node.inputs[1]);
      EXPECT_EQ(scale.sizes.size(), has_attribute(node, "axis") ? 1u : 0u);
      EXPECT_TRUE((values(scale) > 0).all().item<bool>());
    }
  }
}

TEST(QuantizeStatic, PoolsAndMovesKeepTheGrid) {
  const Applied applied = quantized(residual_net(17, 32), {{"placement", "auto"}});
  const Node* pool = find_node(applied.after, "pool");
  ASSERT_NE(pool, nullptr);
  const Node& source = producer_of(applied.after, pool->inputs[0]);
  if (source.op != "DequantizeLinear") GTEST_SKIP() << "the pool stays float by the target's table";
  const Node& reader = applied.after.node(applied.after.consumers(pool->outputs[0])[0]);
  ASSERT_EQ(reader.op, "QuantizeLinear");
  EXPECT_EQ(reader.inputs[1], source.inputs[1]);
  EXPECT_EQ(reader.inputs[2], source.inputs[2]);
}

TEST(QuantizeStatic, NoPairStandsBetweenConvAndItsActivation) {
  const Applied applied = quantized(residual_net());
  for (const char* name : {"stem", "a0", "a1"}) {
    const auto readers = applied.after.consumers(find_node(applied.after, name)->outputs[0]);
    ASSERT_EQ(readers.size(), 1u);
    EXPECT_EQ(applied.after.node(readers[0]).op, "Relu");
  }
}

TEST(QuantizeStatic, SecondRunChangesNothing) {
  for (const char* placement : {"auto", "all"}) {
    const Applied first = quantized(residual_net(17, 32), {{"placement", placement}});
    const Applied second = quantized(first.after, {{"placement", placement}});
    EXPECT_FALSE(second.report.changed) << placement;
    EXPECT_EQ(text(second.after), text(first.after)) << placement;
  }
}

TEST(QuantizeStatic, KeepIsHonoured) {
  const Applied applied = quantized(residual_net(), {}, {"a0", "op:Gemm"});
  for (const char* name : {"a0", "fc"}) {
    EXPECT_NE(applied.after.constant(find_node(applied.after, name)->inputs[1]), nullptr) << name;    // the float weight
    EXPECT_EQ(applied.report.reason(name), "kept in float as asked");
  }
  EXPECT_EQ(applied.after.constant(find_node(applied.after, "b0")->inputs[1]), nullptr);
}

TEST(QuantizeStatic, SameBytesOnAnyNumberOfThreads) {
  const Graph graph = residual_net();
  std::set<std::string> found;
  for (const int threads : {1, 4, 3}) {
    set_num_threads(threads);
    found.insert(graph_to_proto(quantized(graph).after).SerializeAsString());
  }
  set_num_threads(0);
  EXPECT_EQ(found.size(), 1u);
}

TEST(QuantizeStatic, CorrectsTheMeanOfRoundedWeights) {
  const auto bias_error = [](bool corrects) {
    const Applied applied = quantized(residual_net(), {{"correct_bias", corrects}, {"bits", 4}});
    const Tensor x = samples();
    return (run_graph(applied.after, {x})[0].mean(0) - run_graph(applied.before, {x})[0].mean(0)).abs().sum().item<double>();
  };
  EXPECT_LT(bias_error(true), bias_error(false));
}

TEST(QuantizeStatic, RaisesOldOpsets) {
  const Applied applied = quantized(residual_net(11));
  EXPECT_GE(applied.after.opset(), 13);
  EXPECT_EQ(applied.report.changes.at(0).second, "raised from 11 to 13: scales along an axis need it");
  const Tensor x = samples();
  EXPECT_GT(sqnr_db(run_graph(applied.before, {x})[0], run_graph(applied.after, {x})[0]), 25.0);
}

TEST(QuantizeStatic, DeadChannelsAndZeroActivationsAreNoTrouble) {
  GraphBuilder b;
  const ValueId x = b.input("x", {std::string("n"), int64_t{3}, int64_t{16}, int64_t{16}});
  const ValueId dead = b.node("Relu", {b.node("Conv", {x, b.constant("w", at::zeros({4, 3, 3, 3})), b.constant("b", at::full({4}, -1.0))}, {}, "dead")});
  b.output(conv(b, dead, 4, 5, "after", false));
  const Applied applied = quantized(b.graph());
  const Tensor after = run_graph(applied.after, {samples()})[0];
  EXPECT_TRUE(at::isfinite(after).all().item<bool>());
  EXPECT_LT(relative_difference(after, run_graph(applied.before, {samples()})[0]), 0.02);
}

TEST(QuantizeStatic, LargeBiasesLeaveRoomForTheSums) {
  GraphBuilder b;
  const ValueId x = b.input("x", {std::string("n"), int64_t{3}, int64_t{16}, int64_t{16}});
  const Tensor w = random_tensor({4, 3, 3, 3}) * 1e-7, bias = at::tensor({1000.0f, 1e-9f, -1000.0f, 0.0f});
  b.output(b.node("Conv", {x, b.constant("w", w), b.constant("b", bias)}, {}, "conv"));
  for (const char* granularity : {"per_channel", "per_tensor"}) {
    const Applied applied = quantized(b.graph(), {{"granularity", granularity}});
    const Node* node = find_node(applied.after, "conv");
    const Node &weight = producer_of(applied.after, node->inputs[1]), &stored = producer_of(applied.after, node->inputs[2]);
    const Tensor codes = constant_of(applied.after, stored.inputs[0]).to(at::kDouble), sums = constant_of(applied.after, weight.inputs[0]).to(at::kDouble).abs().sum({1, 2, 3});
    EXPECT_TRUE(((codes.abs() + 255 * sums) < 2147483648.0).all().item<bool>());
    EXPECT_LT(relative_difference(run_graph(applied.after, {samples()})[0], run_graph(applied.before, {samples()})[0]), 0.005);   // half a code
  }
}

TEST(QuantizeStatic, TiedWeightsAreStoredOnce) {
  GraphBuilder b;
  const ValueId x = b.input("x", {std::string("n"), int64_t{3}, int64_t{16}, int64_t{16}});
  const ValueId w = b.constant("w", random_tensor({3, 3, 3, 3}) / 4);
  const ValueId h = b.node("Conv", {x, w}, {{"pads", kSame}}, "one");
  b.output(b.node("Conv", {h, w}, {{"pads", kSame}}, "two"));
  const Graph after = quantized(b.graph()).after;
  EXPECT_EQ(producer_of(after, find_node(after, "one")->inputs[1]).inputs[0], producer_of(after, find_node(after, "two")->inputs[1]).inputs[0]);
}

TEST(QuantizeStatic, RefusesBadOptions) {
  const auto refusal = [](const Json& options) {
    try {
      parse_options<QuantizeStaticOptions>(options);
      return std::string();
    } catch (const UsageError& error) {
      return error.message();
    }
  };
  EXPECT_EQ(refusal({{"granularity", "per_block"}}), "granularity 'per_block' has no integer kernel; needed per_tensor or per_channel");
  EXPECT_EQ(refusal({{"bits", 5}}), "bits 5 has no stored form for integer kernels; needed 8 or 4");
  EXPECT_EQ(refusal({{"bits", 16}}), "option 'bits' is 16; needed 4 to 8");
  EXPECT_EQ(refusal({{"range_estimator", "max"}}), "option 'range_estimator' is \"max\"; needed one of min_max|percentile|mse|entropy");
}

}  // namespace
}  // namespace niwaki
