#pragma once

#include "passes/train/train_options.h"

namespace niwaki {

enum class AnswerLoss { automatic, divergence, standardised, correlation, shares, mse };
constexpr auto names(AnswerLoss) { return std::array{"auto", "kl", "standardised", "dist", "binary", "mse"}; }
enum class FeatureLoss { off, features, attention_map, similarity, attention };
constexpr auto names(FeatureLoss) { return std::array{"off", "mse", "attention_map", "similarity", "attention"}; }

struct DistillOptions : TrainOptions {
  double temperature = 0;
  std::optional<double> alpha;
  AnswerLoss loss = AnswerLoss::automatic;
  FeatureLoss features = FeatureLoss::off;
  double feature_weight = 1;
  std::string pairs = "";
  void validate() const;
  static constexpr auto fields() {
    using O = DistillOptions;
    return std::tuple_cat(
        std::tuple{field("temperature", &O::temperature, "that scores are divided by; 0: 1 for a student made from the teacher, else 4").between(0, 1000),
                   field("alpha", &O::alpha, "share of the teacher beside labels: 0.9 unless told, 1 without labels").between(0, 1),
                   field("loss", &O::loss, "auto: kl for classes, binary behind a sigmoid, mse over the teacher's variance else"),
                   field("features", &O::features, "what is compared of the ends of blocks, or of attention: those of the same name, else those most alike"),
                   field("feature_weight", &O::feature_weight, "of the inner values, beside the outputs").between(0, 1e6),
                   field("pairs", &O::pairs, "inner values to compare, STUDENT=TEACHER,...; none: found by name, else by likeness")},
        train_fields<O>());
  }
};

/// Trains the weights so that the model answers as its teacher does: the model as it was read, or another one. Labels are
/// optional. With `qat` the student is quantized, see train_quantized(). Teacher answers are kept in memory where they fit, else computed again. E3322 where outputs do not fit.
void distill(Graph& graph, const DistillOptions& options, PassContext& context);

}  // namespace niwaki
