#pragma once

#include "compress/dataset.h"
#include "compress/progress.h"

namespace niwaki {

/// True if the model reads tokens: integers come in.
bool reads_tokens(const Graph& graph);
/// True if the rows of y [.., classes] read as scores of classes: two-dimensional, or one row per token.
bool is_class_like(const Tensor& y, bool reads_tokens);
/// Logarithms of the shares that scores [rows, classes] stand for: logits, logarithms of shares, or shares; double.
Tensor class_logs(const Tensor& scores);

/// The answers of a model on up to `samples` samples, to hold edited models against; at most 256 MiB of them.
class Answers {
 public:
  Answers(const Graph& graph, const Dataset& data, int64_t samples, Progress& progress);
  /// How far the answers of `edited` are from these: the divergence in nats per sample of outputs that are scores of classes
  /// (mean over tokens), the relative squared error of the others, summed. Infinite where they are not finite.
  double divergence(const Graph& edited, Progress& progress) const;
  int64_t num_samples() const { return data_.num_samples(); }

 private:
  Dataset data_;
  bool reads_tokens_ = false;
  std::vector<RunValues> wanted_;            // by batch
};

}  // namespace niwaki
