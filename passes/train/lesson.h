#pragma once

#include "passes/train/answers.h"
#include "passes/train/feature_plan.h"
#include "passes/train/label_loss.h"
#include "passes/train/teacher.h"

namespace niwaki {

/// All that the loss of a distillation reads, made once; used by several threads.
class Lesson {
 public:
  /// `named`: the graph whose names say whether the teacher is its origin.
  Lesson(const Graph& graph, const Graph& named, const DistillOptions& options, PassContext& context);

  /// Values of the student that the loss reads.
  std::vector<ValueId> watched() const;
  /// What is trained beside the student, and dropped after.
  const std::vector<Tensor>& projectors() const { return features_.projectors; }
  bool couples_samples() const { return options_.loss == AnswerLoss::correlation || options_.features == FeatureLoss::similarity; }
  LossSum operator()(const Shard& shard) const;
  std::string describe() const;
  /// What was paired with what.
  Json table() const;

 private:
  struct AnswerPair {
    Answer student, teacher;
  };
  static std::vector<AnswerPair> pair_answers(const Graph& student, const Graph& teacher);
  static AnswerLoss loss_of(const AnswerPair& pair, AnswerLoss wanted);
  std::vector<ValueId> teacher_values() const;
  double agreement(const Dataset& data) const;
  LossSum answer_loss(const AnswerPair& pair, const Tensor& own, const Tensor& wanted) const;

  const Graph &graph_, &teacher_graph_;
  DistillOptions options_;
  std::vector<AnswerPair> pairs_;
  FeaturePlan features_;
  std::optional<LabelTarget> labels_;
  double temperature_ = 1, alpha_ = 1;
  std::optional<Teacher> teacher_;
};

}  // namespace niwaki
