// Gradients of the executor's operators against finite differences in double.
#include "compress/executor.h"
#include "compress/error.h"
#include "compress/ops/fake_quantize.h"
#include "compress/train/trainable.h"
#include "tests/graph_builder.h"

#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

namespace niwaki {
namespace {

using Attributes = std::map<std::string, Attribute>;
using Ints = std::vector<int64_t>;

constexpr double kStep = 1e-6, kTolerance = 2e-6;

/// One operator on double constants: all of them are checked.
class Check {
 public:
  explicit Check(int64_t opset = 17) : builder_(opset) {}

  /// Numbers between low and high, apart from each other, so that no kink is near.
  ValueId numbers(Ints sizes, double low = -2, double high = 2) {
    const int64_t count = std::accumulate(sizes.begin(), sizes.end(), int64_t{1}, std::multiplies<>());
    const Tensor order = random_tensor({count}, ++seed_).argsort();
    const Tensor spread = (order.to(at::kDouble) + 0.37) / static_cast<double>(count) * (high - low) + low;
    const ValueId id = builder_.constant(cat("x", seed_), spread.reshape(sizes));
    checked_.insert(id);
    return id;
  }
  ValueId fixed(const Tensor& tensor) { return builder_.constant(cat("c", ++seed_), tensor); }
  ValueId ints(const Ints& numbers) { return fixed(at::tensor(numbers, at::kLong)); }
  ValueId node(const std::string& op, std::vector<ValueId> inputs, Attributes attributes = {}, const std::string& domain = "") {
    return builder_.node(op, std::move(inputs), std::move(attributes), "", domain);
  }
  /// The largest error of a gradient over 1 + |gradient|; infinite where there is none.
  double error(const std::string& op, std::vector<ValueId> inputs, Attributes attributes = {}, size_t outputs = 1) {
    for (const ValueId y : builder_.node_with_outputs(op, std::move(inputs), outputs, std::move(attributes))) builder_.output(y);
    return finish();
  }
  double contrib_error(const std::string& op, std::vector<ValueId> inputs, Attributes attributes = {}) {
    builder_.output(node(op, std::move(inputs), std::move(attributes), "com.microsoft"));
    return finish();
  }
  double error_of(ValueId y) {
    builder_.output(y);
    return finish();
  }

 private:
  double finish() {
    const Graph graph = builder_.graph();
    const Executor executor(graph, {.trainable = checked_});
    loss(executor).backward();
    double worst = 0;
    for (const ValueId id : checked_) worst = std::max(worst, error_of_leaf(executor, executor.parameter(id)));
    return worst;
  }
  static Tensor loss(const Executor& executor) {
    const c10::AutoGradMode mode(true);
    Tensor sum = at::zeros({}, at::kDouble);
    uint64_t seed = 1000;
    for (const RunValue& y : executor.run({})) {
      if (!y.tensor.is_floating_point()) continue;
      sum = sum + (y.tensor.to(at::kDouble) * random_tensor(y.tensor.sizes().vec(), ++seed).to(at::kDouble)).sum();
    }
    return sum;
  }
  static double error_of_leaf(const Executor& executor, const Tensor& leaf) {
    if (!leaf.grad().defined()) return INFINITY;
    const Tensor flat = leaf.detach().view({-1}), gradient = leaf.grad().reshape({-1});
    double worst = 0;
    for (int64_t i = 0; i < flat.numel(); i += std::max<int64_t>(1, flat.numel() / 40)) {
      const double x = flat[i].item<double>();
      flat[i].fill_(x + kStep);
      const double above = loss(executor).item<double>();
      flat[i].fill_(x - kStep);
      const double below = loss(executor).item<double>();
      flat[i].fill_(x);
      const double wanted = (above - below) / (2 * kStep), got = gradient[i].item<double>();
      worst = std::max(worst, std::abs(got - wanted) / (1 + std::abs(wanted)));
    }
    return worst;
  }

  GraphBuilder builder_;
  std::set<ValueId> checked_;
  uint64_t seed_ = 0;
};

TEST(Gradient, OfElementwiseOperators) {
  for (const char* op : {"Abs", "Asinh", "Atan", "Cos", "Cosh", "Erf", "Exp", "Neg", "Sin", "Sinh"}) {
    Check c;
    EXPECT_LT(c.error(op, {c.numbers({3, 4})}), kTolerance) << op;
  }
  for (const char* op : {"Acos", "Asin", "Atanh", "Tan"}) {
    Check c;
    EXPECT_LT(c.error(op, {c.numbers({3, 4}, -0.8, 0.8)}), kTolerance) << op;
  }
  for (const char* op : {"Acosh", "Log", "Reciprocal", "Sqrt"}) {
    Check c;
    EXPECT_LT(c.error(op, {c.numbers({3, 4}, 1.2, 3)}), kTolerance) << op;
  }
}

TEST(Gradient, OfOperatorsWithTwoAndMoreInputs) {
  for (const char* op : {"Add", "Sub", "Mul", "Max", "Min", "Mean", "Sum"}) {
    Check c;
    EXPECT_LT(c.error(op, {c.numbers({3, 4}), c.numbers({4}, -1.9, 1.8)}), kTolerance) << op;
  }
  Check div, pow, square, where, mod;
  EXPECT_LT(div.error("Div", {div.numbers({3, 4}), div.numbers({3, 1}, 1, 2)}), kTolerance);
  EXPECT_LT(pow.error("Pow", {pow.numbers({3, 4}, 0.5, 2), pow.numbers({4})}), kTolerance);
  EXPECT_LT(square.error("Pow", {square.numbers({3, 4}), square.fixed(at::scalar_tensor(2.0, at::kDouble))}), kTolerance);
  const ValueId chosen = where.fixed(random_tensor({3, 4}).gt(0));
  EXPECT_LT(where.error("Where", {chosen, where.numbers({3, 4}), where.numbers({4})}), kTolerance);
  EXPECT_LT(mod.error("Mod", {mod.numbers({3, 4}), mod.fixed(at::full({4}, 0.83, at::kDouble))}, {{"fmod", int64_t{1}}}), kTolerance);
}

TEST(Gradient, OfActivations) {
  for (const char* op : {"Celu", "Elu", "HardSigmoid", "HardSwish", "LeakyRelu", "LogSoftmax", "Relu", "Selu", "Shrink", "Sigmoid", "Softmax",
                         "Softplus", "Softsign", "Tanh", "ThresholdedRelu"}) {
    Check c;
    EXPECT_LT(c.error(op, {c.numbers({3, 4})}), kTolerance) << op;
  }
  Check mish(18), gelu(20), quick(20), clip, prelu, old(11), swish(24);
  EXPECT_LT(mish.error("Mish", {mish.numbers({3, 4})}), kTolerance);
  EXPECT_LT(gelu.error("Gelu", {gelu.numbers({3, 4})}), kTolerance);
  EXPECT_LT(quick.error("Gelu", {quick.numbers({3, 4})}, {{"approximate", std::string("tanh")}}), kTolerance);
  EXPECT_LT(swish.error("Swish", {swish.numbers({3, 4})}, {{"alpha", 1.3f}}), kTolerance);
  const ValueId low = clip.fixed(at::scalar_tensor(-1.0, at::kDouble)), high = clip.fixed(at::scalar_tensor(1.0, at::kDouble));
  EXPECT_LT(clip.error("Clip", {clip.numbers({3, 4}), low, high}), kTolerance);
  EXPECT_LT(prelu.error("PRelu", {prelu.numbers({2, 3, 4}), prelu.numbers({3, 1}, 0.1, 0.9)}), kTolerance);
  EXPECT_LT(old.error("Softmax", {old.numbers({2, 3, 2})}, {{"axis", int64_t{1}}}), kTolerance);
}

TEST(Gradient, OfProducts) {
  Check plain, turned, batched, einsum, det;
  EXPECT_LT(plain.error("Gemm", {plain.numbers({3, 4}), plain.numbers({4, 2}), plain.numbers({2})}), kTolerance);
  EXPECT_LT(turned.error("Gemm", {turned.numbers({4, 3}), turned.numbers({2, 4}), turned.numbers({3, 1})},
                         {{"transA", int64_t{1}}, {"transB", int64_t{1}}, {"alpha", 0.5f}, {"beta", 2.0f}}), kTolerance);
  EXPECT_LT(batched.error("MatMul", {batched.numbers({2, 3, 4}), batched.numbers({4, 5})}), kTolerance);
  EXPECT_LT(einsum.error("Einsum", {einsum.numbers({2, 3, 4}), einsum.numbers({2, 4, 5})}, {{"equation", std::string("bij,bjk->bik")}}), kTolerance);
  EXPECT_LT(det.error("Det", {det.numbers({2, 3, 3})}), kTolerance);
}

TEST(Gradient, OfConvolutions) {
  Check plain, grouped, line, solid, uneven, same;
  EXPECT_LT(plain.error("Conv", {plain.numbers({2, 3, 5, 5}), plain.numbers({4, 3, 3, 3}), plain.numbers({4})}, {{"pads", Ints{1, 1, 1, 1}}}), kTolerance);
  EXPECT_LT(grouped.error("Conv", {grouped.numbers({2, 4, 5, 5}), grouped.numbers({4, 1, 3, 3})},
                          {{"group", int64_t{4}}, {"strides", Ints{2, 2}}, {"dilations", Ints{2, 1}}}), kTolerance);
  EXPECT_LT(line.error("Conv", {line.numbers({2, 3, 7}), line.numbers({2, 3, 3})}), kTolerance);
  EXPECT_LT(solid.error("Conv", {solid.numbers({1, 2, 4, 4, 4}), solid.numbers({2, 2, 2, 2, 2})}), kTolerance);
  EXPECT_LT(uneven.error("Conv", {uneven.numbers({1, 2, 5, 5}), uneven.numbers({2, 2, 3, 3})}, {{"pads", Ints{0, 1, 2, 0}}}), kTolerance);
  EXPECT_LT(same.error("Conv", {same.numbers({1, 2, 5, 5}), same.numbers({2, 2, 2, 2})}, {{"auto_pad", std::string("SAME_UPPER")}}), kTolerance);
  Check back, shaped, deformed(19);
  EXPECT_LT(back.error("ConvTranspose", {back.numbers({2, 3, 4, 4}), back.numbers({3, 2, 3, 3}), back.numbers({2})}, {{"strides", Ints{2, 2}}, {"pads", Ints{1, 1, 1, 1}}}), kTolerance);
  EXPECT_LT(shaped.error("ConvTranspose", {shaped.numbers({1, 2, 3, 3}), shaped.numbers({2, 2, 3, 3}), shaped.numbers({2})}, {{"strides", Ints{2, 2}}, {"pads", Ints{0, 1, 1, 0}}}), kTolerance);
  EXPECT_LT(deformed.error("DeformConv", {deformed.numbers({1, 2, 5, 5}), deformed.numbers({2, 2, 2, 2}), deformed.numbers({1, 8, 4, 4}, -0.4, 0.4)}), kTolerance);
}

TEST(Gradient, OfNormalizations) {
  Check batch, running(15), layer, group(21), instance, lrn, lp, mean, rms(23);
  const auto positive = [](Check& c, int64_t n) { return c.fixed(random_tensor({n}).abs().to(at::kDouble) + 0.5); };
  const auto centre = [](Check& c, int64_t n) { return c.fixed(random_tensor({n}).to(at::kDouble)); };
  EXPECT_LT(batch.error("BatchNormalization", {batch.numbers({3, 2, 2, 2}), batch.numbers({2}), batch.numbers({2}), centre(batch, 2), positive(batch, 2)}), kTolerance);
  Check whole;
  EXPECT_LT(whole.error_of(whole.node(kNormalizeBatch, {whole.numbers({3, 2, 2, 2}), whole.numbers({2}), whole.numbers({2})}, {}, kTrainDomain)), kTolerance);
  EXPECT_LT(running.error("BatchNormalization", {running.numbers({3, 2, 2, 2}), running.numbers({2}), running.numbers({2}), centre(running, 2), positive(running, 2)},
                          {{"training_mode", int64_t{1}}}), kTolerance);
  EXPECT_LT(layer.error("LayerNormalization", {layer.numbers({3, 5}), layer.numbers({5}), layer.numbers({5})}), kTolerance);
  EXPECT_LT(group.error("GroupNormalization", {group.numbers({2, 4, 3}), group.numbers({4}), group.numbers({4})}, {{"num_groups", int64_t{2}}}), kTolerance);
  EXPECT_LT(instance.error("InstanceNormalization", {instance.numbers({2, 3, 4}), instance.numbers({3}), instance.numbers({3})}), kTolerance);
  EXPECT_LT(lrn.error("LRN", {lrn.numbers({2, 5, 2, 2})}, {{"size", int64_t{3}}, {"alpha", 0.5f}}), kTolerance);
  EXPECT_LT(lp.error("LpNormalization", {lp.numbers({3, 4})}), kTolerance);
  EXPECT_LT(mean.error("MeanVarianceNormalization", {mean.numbers({2, 3, 2, 2})}), kTolerance);
  EXPECT_LT(rms.error("RMSNormalization", {rms.numbers({3, 5}), rms.numbers({5})}), kTolerance);
}

TEST(Gradient, OfPooling) {
  const Attributes window{{"kernel_shape", Ints{2, 2}}, {"strides", Ints{2, 1}}};
  for (const char* op : {"AveragePool", "MaxPool", "LpPool"}) {
    Check c;
    EXPECT_LT(c.error(op, {c.numbers({2, 2, 4, 4})}, window), kTolerance) << op;
  }
  Check uneven, uneven_max, unpool;
  const Attributes padded{{"kernel_shape", Ints{3, 3}}, {"pads", Ints{0, 1, 2, 0}}};
  EXPECT_LT(uneven.error("AveragePool", {uneven.numbers({1, 2, 4, 4})}, padded), kTolerance);
  EXPECT_LT(uneven_max.error("MaxPool", {uneven_max.numbers({1, 2, 4, 4})}, padded), kTolerance);
  for (const char* op : {"GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"}) {
    Check c;
    EXPECT_LT(c.error(op, {c.numbers({2, 3, 4, 4})}), kTolerance) << op;
  }
  const ValueId places = unpool.fixed(at::tensor(Ints{0, 3, 9, 14}, at::kLong).reshape({1, 1, 2, 2}));
  EXPECT_LT(unpool.error("MaxUnpool", {unpool.numbers({1, 1, 2, 2}), places}, {{"kernel_shape", Ints{2, 2}}, {"strides", Ints{2, 2}}}), kTolerance);
}

TEST(Gradient, OfReductions) {
  for (const char* op : {"ReduceL1", "ReduceL2", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSumSquare"}) {
    Check some, all;
    EXPECT_LT(some.error(op, {some.numbers({2, 3, 4})}, {{"axes", Ints{1}}, {"keepdims", int64_t{0}}}), kTolerance) << op;
    EXPECT_LT(all.error(op, {all.numbers({2, 2, 2})}), kTolerance) << op;
  }
  Check log, sum, running, product(26);
  EXPECT_LT(log.error("ReduceLogSum", {log.numbers({2, 3}, 0.5, 2)}, {{"axes", Ints{1}}}), kTolerance);
  EXPECT_LT(sum.error("ReduceSum", {sum.numbers({2, 3, 4}), sum.ints({0, 2})}), kTolerance);
  EXPECT_LT(running.error("CumSum", {running.numbers({2, 5}), running.fixed(at::scalar_tensor(1, at::kLong))}, {{"exclusive", int64_t{1}}, {"reverse", int64_t{1}}}), kTolerance);
}

TEST(Gradient, OfShapes) {
  Check concat, depth, expand, flatten, reshape, reversed, slice, space, split, squeeze, tile, transpose, trilu, unsqueeze, crop(18);
  EXPECT_LT(concat.error("Concat", {concat.numbers({2, 3}), concat.numbers({2, 1})}, {{"axis", int64_t{1}}}), kTolerance);
  EXPECT_LT(depth.error("DepthToSpace", {depth.numbers({1, 8, 2, 2})}, {{"blocksize", int64_t{2}}}), kTolerance);
  EXPECT_LT(space.error("SpaceToDepth", {space.numbers({1, 2, 4, 4})}, {{"blocksize", int64_t{2}}}), kTolerance);
  EXPECT_LT(expand.error("Expand", {expand.numbers({3, 1}), expand.ints({2, 3, 4})}), kTolerance);
  EXPECT_LT(flatten.error("Flatten", {flatten.numbers({2, 3, 2})}), kTolerance);
  EXPECT_LT(reshape.error("Reshape", {reshape.numbers({2, 6}), reshape.ints({0, 3, -1})}), kTolerance);
  EXPECT_LT(reversed.error("ReverseSequence", {reversed.numbers({4, 2}), reversed.ints({3, 2})}), kTolerance);
  EXPECT_LT(slice.error("Slice", {slice.numbers({5, 6}), slice.ints({-1, 1}), slice.ints({0, 6}), slice.ints({0, 1}), slice.ints({-2, 3})}), kTolerance);
  EXPECT_LT(split.error("Split", {split.numbers({6, 2}), split.ints({2, 4})}, {}, 2), kTolerance);
  EXPECT_LT(squeeze.error("Squeeze", {squeeze.numbers({2, 1, 3}), squeeze.ints({1})}), kTolerance);
  EXPECT_LT(tile.error("Tile", {tile.numbers({2, 3}), tile.ints({2, 2})}), kTolerance);
  EXPECT_LT(transpose.error("Transpose", {transpose.numbers({2, 3, 4})}, {{"perm", Ints{2, 0, 1}}}), kTolerance);
  EXPECT_LT(trilu.error("Trilu", {trilu.numbers({3, 3})}), kTolerance);
  EXPECT_LT(unsqueeze.error("Unsqueeze", {unsqueeze.numbers({2, 3}), unsqueeze.ints({0})}), kTolerance);
  EXPECT_LT(crop.error("CenterCropPad", {crop.numbers({4, 3}), crop.ints({2, 5})}), kTolerance);
  for (const char* mode : {"constant", "reflect", "edge"}) {
    Check c;
    EXPECT_LT(c.error("Pad", {c.numbers({2, 4, 4}), c.ints({0, 1, 2, 0, 2, 1})}, {{"mode", std::string(mode)}}), kTolerance) << mode;
  }
}

TEST(Gradient, OfIndexing) {
  Check gather, elements, nd, scatter, scatter_nd, top, compress, hot;
  EXPECT_LT(gather.error("Gather", {gather.numbers({5, 3}), gather.ints({4, 0, 4})}), kTolerance);
  EXPECT_LT(elements.error("GatherElements", {elements.numbers({3, 3}), elements.fixed(at::tensor(Ints{1, 2, 0, 2, 0, 0}, at::kLong).reshape({2, 3}))}), kTolerance);
  EXPECT_LT(nd.error("GatherND", {nd.numbers({3, 3}), nd.fixed(at::tensor(Ints{0, 1, 2, 2}, at::kLong).reshape({2, 2}))}), kTolerance);
  for (const char* how : {"none", "add", "mul", "max", "min"}) {
    Check c(18), d(18);
    const ValueId places = c.fixed(at::tensor(Ints{1, 0, 2, 2, 1, 0}, at::kLong).reshape({2, 3}));
    EXPECT_LT(c.error("ScatterElements", {c.numbers({3, 3}), places, c.numbers({2, 3}, -1.7, 1.9)}, {{"reduction", std::string(how)}}), kTolerance) << how;
    const ValueId rows = d.fixed(at::tensor(Ints{2, 0}, at::kLong).reshape({2, 1}));
    EXPECT_LT(d.error("ScatterND", {d.numbers({3, 3}), rows, d.numbers({2, 3}, -1.7, 1.9)}, {{"reduction", std::string(how)}}), kTolerance) << how;
  }
  EXPECT_LT(top.error("TopK", {top.numbers({3, 5}), top.ints({2})}, {}, 2), kTolerance);
  EXPECT_LT(compress.error("Compress", {compress.numbers({3, 2}), compress.fixed(at::tensor(Ints{1, 0, 1}, at::kLong).gt(0))}, {{"axis", int64_t{0}}}), kTolerance);
  EXPECT_LT(hot.error("OneHot", {hot.ints({0, 2, 1}), hot.ints({3}), hot.numbers({2})}), kTolerance);
}

TEST(Gradient, OfResizing) {
  for (const char* mode : {"nearest", "linear", "cubic"}) {
    Check up(18), down(18);
    const auto scales = [](Check& c, float scale) { return c.fixed(at::tensor({1.0f, 1.0f, scale, scale})); };
    EXPECT_LT(up.error("Resize", {up.numbers({1, 2, 3, 3}), ValueId::absent, scales(up, 2)}, {{"mode", std::string(mode)}}), kTolerance) << mode;
    EXPECT_LT(down.error("Resize", {down.numbers({1, 2, 5, 5}), ValueId::absent, scales(down, 0.6f)},
                         {{"mode", std::string(mode)}, {"coordinate_transformation_mode", std::string("align_corners")}}), kTolerance) << mode;
  }
  Check grid(20), roi(16);
  EXPECT_LT(grid.error("GridSample", {grid.numbers({1, 2, 4, 4}), grid.numbers({1, 3, 3, 2}, -0.9, 0.9)}), kTolerance);
  const ValueId boxes = roi.fixed(at::tensor({0.3, 0.4, 3.1, 3.3}, at::kDouble).reshape({1, 4}));
  EXPECT_LT(roi.error("RoiAlign", {roi.numbers({1, 2, 5, 5}), boxes, roi.ints({0})}, {{"output_height", int64_t{2}}, {"output_width", int64_t{2}}}), kTolerance);
}

TEST(Gradient, OfRecurrentLayers) {
  const std::string both = "bidirectional";
  Check lstm, gru, reset, rnn;
  EXPECT_LT(lstm.error("LSTM", {lstm.numbers({3, 2, 3}), lstm.numbers({2, 8, 3}, -1, 1), lstm.numbers({2, 8, 2}, -1, 1), lstm.numbers({2, 16}, -1, 1), ValueId::absent,
                                lstm.numbers({2, 2, 2}), lstm.numbers({2, 2, 2}), lstm.numbers({2, 6}, -1, 1)},
                       {{"hidden_size", int64_t{2}}, {"direction", both}}, 3), kTolerance);
  EXPECT_LT(gru.error("GRU", {gru.numbers({3, 2, 3}), gru.numbers({1, 6, 3}, -1, 1), gru.numbers({1, 6, 2}, -1, 1), gru.numbers({1, 12}, -1, 1)}, {{"hidden_size", int64_t{2}}}, 2), kTolerance);
  EXPECT_LT(reset.error("GRU", {reset.numbers({3, 2, 3}), reset.numbers({1, 6, 3}, -1, 1), reset.numbers({1, 6, 2}, -1, 1), reset.numbers({1, 12}, -1, 1)},
                        {{"hidden_size", int64_t{2}}, {"linear_before_reset", int64_t{1}}}), kTolerance);
  EXPECT_LT(rnn.error("RNN", {rnn.numbers({3, 2, 3}), rnn.numbers({1, 2, 3}, -1, 1), rnn.numbers({1, 2, 2}, -1, 1), rnn.numbers({1, 4}, -1, 1)}, {{"hidden_size", int64_t{2}}}), kTolerance);
}

TEST(Gradient, OfAttention) {
  Check heads(23), rotary(23);
  EXPECT_LT(heads.error("Attention", {heads.numbers({1, 3, 4}), heads.numbers({1, 3, 4}), heads.numbers({1, 3, 4})}, {{"q_num_heads", int64_t{2}}, {"kv_num_heads", int64_t{2}}, {"is_causal", int64_t{1}}}), kTolerance);
  const auto table = [](Check& c) { return c.fixed(random_tensor({1, 3, 2}).to(at::kDouble)); };
  EXPECT_LT(rotary.error("RotaryEmbedding", {rotary.numbers({1, 2, 3, 4}), table(rotary), table(rotary)}), kTolerance);
}

TEST(Gradient, OfSequencesAndTransforms) {
  Check sequence, drop, dft(20);
  const ValueId parts = sequence.node("SplitToSequence", {sequence.numbers({4, 2}), sequence.ints({1, 3})});
  EXPECT_LT(sequence.error_of(sequence.node("ConcatFromSequence", {parts}, {{"axis", int64_t{0}}})), kTolerance);
  EXPECT_LT(drop.error("Dropout", {drop.numbers({3, 4})}), kTolerance);
  EXPECT_LT(dft.error("DFT", {dft.numbers({1, 6, 1})}), kTolerance);
}

TEST(Gradient, OfOperatorsOfOnnxRuntime) {
  Check bias, fast, gelu, quick, conv, gemm, product, skip, simple, heads, embed;
  EXPECT_LT(bias.contrib_error("BiasGelu", {bias.numbers({3, 4}), bias.numbers({4})}), kTolerance);
  EXPECT_LT(fast.contrib_error("FastGelu", {fast.numbers({3, 4}), fast.numbers({4})}), kTolerance);
  EXPECT_LT(gelu.contrib_error("Gelu", {gelu.numbers({3, 4})}), kTolerance);
  EXPECT_LT(quick.contrib_error("QuickGelu", {quick.numbers({3, 4})}), kTolerance);
  EXPECT_LT(conv.contrib_error("FusedConv", {conv.numbers({1, 2, 4, 4}), conv.numbers({2, 2, 3, 3}), conv.numbers({2})}, {{"activation", std::string("Relu")}}), kTolerance);
  EXPECT_LT(gemm.contrib_error("FusedGemm", {gemm.numbers({3, 4}), gemm.numbers({4, 2}), gemm.numbers({2})}, {{"activation", std::string("Relu")}}), kTolerance);
  EXPECT_LT(product.contrib_error("FusedMatMul", {product.numbers({3, 4}), product.numbers({2, 4})}, {{"transB", int64_t{1}}, {"alpha", 0.5f}}), kTolerance);
  EXPECT_LT(skip.contrib_error("SkipLayerNormalization", {skip.numbers({1, 3, 4}), skip.numbers({1, 3, 4}), skip.numbers({4}), skip.numbers({4}), skip.numbers({4})}), kTolerance);
  EXPECT_LT(heads.contrib_error("Attention", {heads.numbers({1, 3, 4}), heads.numbers({4, 12}), heads.numbers({12})}, {{"num_heads", int64_t{2}}}), kTolerance);
  const ValueId words = embed.fixed(at::tensor(std::vector<int>{2, 0, 1}).reshape({1, 3})), segments = embed.fixed(at::tensor(std::vector<int>{0, 1, 1}).reshape({1, 3}));
  EXPECT_LT(embed.contrib_error("EmbedLayerNormalization", {words, segments, embed.numbers({3, 4}), embed.numbers({3, 4}), embed.numbers({2, 4}), embed.numbers({4}), embed.numbers({4})}), kTolerance);
  EXPECT_LT(simple.contrib_error("SkipSimplifiedLayerNormalization", {simple.numbers({1, 3, 4}), simple.numbers({1, 3, 4}), simple.numbers({4})}), kTolerance);
}

/// A pair of QuantizeLinear and DequantizeLinear passes the gradient straight through inside the range, and none outside.
TEST(Gradient, OfFakeQuantizationIsStraightThrough) {
  GraphBuilder b;
  const ValueId x = b.constant("x", at::tensor({-5.0f, -0.62f, 0.31f, 0.9f, 7.0f}));
  const ValueId scale = b.constant("scale", at::scalar_tensor(0.01f)), zero = b.constant("zero", at::scalar_tensor(3, at::kChar));
  b.output(b.node("DequantizeLinear", {b.node("QuantizeLinear", {x, scale, zero}), scale, zero}));
  const Graph graph = b.graph();
  const Executor executor(graph, {.trainable = {x}});
  const c10::AutoGradMode mode(true);
  const Tensor y = executor.run({})[0].tensor;
  EXPECT_NEAR(y[1].item<double>(), -0.62, 1e-6);
  y.sum().backward();
  const Tensor wanted = at::tensor({0.0f, 1.0f, 1.0f, 1.0f, 0.0f});
  EXPECT_LT((executor.parameter(x).grad() - wanted).abs().max().item<double>(), 1e-6);
}

TEST(Gradient, ComesThroughNoneOfTheListedCuts) {
  for (const char* op : {"ArgMax", "Ceil", "Floor", "Hardmax", "IsNaN", "NonZero", "Round", "Shape", "Sign", "Size"}) {
    GraphBuilder b;
    const ValueId x = b.random_constant("x", {3, 4});
    b.output(b.node(op, {x}));
    const Graph graph = b.graph();
    EXPECT_TRUE(cuts_gradient(graph.node(graph.main().nodes[0]))) << op;
    const Executor executor(graph, {.trainable = {x}});
    const Tensor y = executor.run({})[0].tensor;
    if (!y.requires_grad()) continue;
    y.sum().backward();                                // Floor and its like have a gradient of zeros
    EXPECT_EQ(executor.parameter(x).grad().abs().max().item<double>(), 0) << op;
  }
}

}  // namespace
}  // namespace niwaki
