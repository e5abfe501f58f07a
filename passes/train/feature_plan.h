#pragma once

#include "compress/train/losses.h"
#include "passes/train/distill.h"
#include "passes/train/pair_layers.h"

namespace niwaki {

/// Two inner values that are compared.
struct FeatureTerm {
  LayerPair values;
  FeatureLoss loss = FeatureLoss::features;
  bool is_relation = false;                  // of attention: of what it takes shares, instead of the shares
  double variance = 0;                       // of the teacher's value over samples; 0: of each sample by itself
  double scale = 1;                          // that the student's value is divided by before a projector
  std::optional<double> cka = {};            // linear alignment before training, where it was measured
  std::optional<size_t> projector = {};      // place among Training::extra
};

struct FeaturePlan {
  std::vector<FeatureTerm> terms;
  std::vector<Tensor> projectors;            // starting values: the linear maps that fit best
};

/// What is compared: pairs that the options name, else values of the same name, else those that are most alike. E2007 where a
/// name is unknown, E3322 where values cannot be compared.
FeaturePlan plan_features(const Graph& student, const Graph& teacher, const DistillOptions& options, PassContext& context);

LossSum feature_loss(const FeatureTerm& term, const Tensor& own, const Tensor& wanted, std::span<const Tensor> extra);

/// "mse", "value_relations", ...
std::string loss_name(const FeatureTerm& term);

}  // namespace niwaki
