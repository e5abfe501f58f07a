#pragma once

#include "passes/train/train_options.h"

namespace niwaki {

enum class LabelLoss { automatic, cross_entropy, mse };
constexpr auto names(LabelLoss) { return std::array{"auto", "cross_entropy", "mse"}; }

struct FinetuneOptions : TrainOptions {
  LabelLoss loss = LabelLoss::automatic;
  std::string output_name = "";
  void validate() const { require_quantization(); }
  static constexpr auto fields() {
    using O = FinetuneOptions;
    return std::tuple_cat(
        std::tuple{field("loss", &O::loss, "auto: cross_entropy for classes, mse for numbers"),
                   field("output_name", &O::output_name, "name of the output that the labels are of; the first one unless told")},
        train_fields<O>());
  }
};

/// Trains the weights on labelled samples. Labels of classes are integers [N] (or [N, T], [N, H, W]; negative ones are left out);
/// token models without labels learn to predict their input shifted by one, reconstructions their input. Zeros of pruned
/// weights, ranks and names stay. With `qat` the result is quantized, see train_quantized(). E1706 where labels are missing, E3320 where nothing can be trained.
void finetune(Graph& graph, const FinetuneOptions& options, PassContext& context);

}  // namespace niwaki
