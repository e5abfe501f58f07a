// Steps of training on a ResNet-20 of 32x32 images in batches of 64; train_eager.py runs the same in eager PyTorch.
#include "compress/dataset.h"
#include "compress/onnx/infer_shapes.h"
#include "compress/parallel.h"
#include "compress/train/trainable.h"
#include "compress/train/trainer.h"
#include "formats/samples.h"

#include <benchmark/benchmark.h>

namespace niwaki {
namespace {

constexpr int64_t kBatch = 64, kSteps = 8;

/// ResNet-20 with folded BatchNorm; where the width doubles, the shortcut takes every other pixel and pads channels.
class ResNet {
 public:
  ResNet() {
    graph_.header().opsets[""] = 17;
    graph_.header().opset_order = {""};
    ValueId x = graph_.add_value({.name = "x", .dtype = DType::float32, .shape = Shape{std::string("n"), int64_t{3}, int64_t{32}, int64_t{32}}});
    graph_.edit_main().inputs = {x};
    x = relu(conv(x, 3, 16, 1));
    int64_t width = 16;
    for (const int64_t out : {16, 32, 64}) {
      for (int i = 0; i < 3; ++i) {
        x = block(x, width, out, out != width ? 2 : 1);
        width = out;
      }
    }
    x = node("Flatten", {node("GlobalAveragePool", {x})});
    x = node("Gemm", {x, constant(at::randn({10, 64}) * 0.1), constant(at::zeros({10}))}, {{"transB", int64_t{1}}});
    graph_.edit_main().outputs = {x};
    graph_.index();
    infer_shapes(graph_);
  }
  Graph& graph() { return graph_; }

 private:
  ValueId node(const std::string& op, std::vector<ValueId> inputs, std::map<std::string, Attribute> attributes = {}) {
    const ValueId y = graph_.add_value({.name = graph_.fresh_name(op)});
    graph_.insert_before(std::nullopt, {.op = op, .inputs = std::move(inputs), .outputs = {y}, .attributes = std::move(attributes)});
    return y;
  }
  ValueId constant(const Tensor& numbers) { return graph_.add_constant("c", make_constant(numbers)); }
  ValueId relu(ValueId x) { return node("Relu", {x}); }
  ValueId conv(ValueId x, int64_t in, int64_t out, int64_t stride) {
    const Tensor w = at::randn({out, in, 3, 3}) * std::sqrt(1.0 / static_cast<double>(9 * in));
    return node("Conv", {x, constant(w), constant(at::zeros({out}))}, {{"pads", std::vector<int64_t>{1, 1, 1, 1}}, {"strides", std::vector<int64_t>{stride, stride}}});
  }
  ValueId block(ValueId x, int64_t in, int64_t out, int64_t stride) {
    const ValueId y = conv(relu(conv(x, in, out, stride)), out, out, 1);
    if (stride > 1) {
      const auto numbers = [&](std::vector<int64_t> all) { return constant(at::tensor(all)); };
      x = node("Slice", {x, numbers({0, 0}), numbers({32, 32}), numbers({2, 3}), numbers({2, 2})});
      x = node("Pad", {x, numbers({0, (out - in) / 2, 0, 0, 0, (out - in) / 2, 0, 0})});
    }
    return relu(node("Add", {x, y}));
  }

  Graph graph_;
};

void train_resnet20(benchmark::State& state) {
  set_num_threads(static_cast<int>(state.range(0)));
  ResNet net;
  const int64_t samples = kSteps * kBatch;
  const Dataset data(net.graph(), samples_of({{"x", at::randn({samples, 3, 32, 32})}, {"labels", at::arange(samples).remainder(10)}}), {.want_labels = true}, "benchmark");
  const Training training{.trainable = trainable_constants(net.graph()),
                          .loss = [](const Shard& shard) { return cross_entropy(shard.values[0], shard.labels); }};
  Progress progress;
  for (auto _ : state) train(net.graph(), data, training, {.epochs = 1, .batch = kBatch, .hold_out = 0}, progress);
  state.SetItemsProcessed(state.iterations() * samples);
}
BENCHMARK(train_resnet20)->Arg(1)->Arg(2)->ArgName("threads")->Unit(benchmark::kMillisecond)->UseRealTime()->MeasureProcessCPUTime();

}  // namespace
}  // namespace niwaki
