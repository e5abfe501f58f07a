#pragma once

#include "compress/train/trainable.h"
#include "compress/train/trainer.h"
#include "compress/train/weight_mask.h"
#include "formats/samples.h"
#include "tests/graph_builder.h"

namespace niwaki {

/// A small network on images [n, 3, 8, 8] of 4 classes, and separable data for it.
struct Lesson {
  explicit Lesson(int64_t samples = 120, double sparsity = 0) {
    GraphBuilder b;
    const ValueId x = b.input("x", {"n", 3, 8, 8});
    Tensor w1 = random_tensor({8, 3, 3, 3}, 1) * 0.3, w2 = random_tensor({4, 8}, 2) * 0.3;
    if (sparsity > 0) w1 = at::where(random_tensor({8, 3, 3, 3}, 3).abs() > sparsity, w1, at::zeros_like(w1));
    const ValueId hidden = b.node("Relu", {b.node("Conv", {x, b.constant("w1", w1), b.constant("b1", at::zeros({8}))}, {{"pads", std::vector<int64_t>{1, 1, 1, 1}}})});
    const ValueId pooled = b.node("Flatten", {b.node("GlobalAveragePool", {hidden})});
    b.output(b.node("Gemm", {pooled, b.constant("w2", w2), b.constant("b2", at::zeros({4}))}, {{"transB", int64_t{1}}}), "scores");
    graph = b.graph();
    labels = at::arange(samples, at::kLong).remainder(4);
    const Tensor kinds = random_tensor({4, 3, 8, 8}, 4);
    images = kinds.index_select(0, labels) + random_tensor({samples, 3, 8, 8}, 5) * 0.5;
    training.trainable = trainable_constants(graph);
    training.masks = masks_of_zeros(graph, training.trainable);
    training.loss = [](const Shard& shard) { return cross_entropy(shard.values[0], shard.labels); };
  }

  Dataset data() const {
    return Dataset(graph, samples_of({{"x", images}, {"labels", labels}}), {.want_labels = true}, "test");
  }
  TrainReport run(const TrainerOptions& options) {
    Progress progress;
    return train(graph, data(), training, options, progress);
  }
  Tensor weight(const std::string& name) const { return values(*graph.constant(*graph.find_value(name))); }
  /// All trained bytes.
  Tensor all() const { return at::cat({weight("w1").flatten(), weight("b1"), weight("w2").flatten(), weight("b2")}); }

  Graph graph;
  Tensor images, labels;
  Training training;
};

}  // namespace niwaki
