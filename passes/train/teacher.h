#pragma once

#include "compress/dataset.h"
#include "compress/executor.h"
#include "compress/train/trainer.h"

namespace niwaki {

/// The model to learn from: runs on the inputs of the student, whose names, order, batch and layout may be others.
class Teacher {
 public:
  /// Inputs are matched by name, else in order. E3322 where a shape cannot be brought to the teacher's by reordering the axes of
  /// an image or by a plain reshape. `wanted`: values of the teacher's main body.
  Teacher(const Graph& graph, const Graph& student, std::vector<ValueId> wanted);

  /// Asks for all samples now, in batches that do not depend on how training goes, and keeps the answers; nothing is kept where
  /// they take more than `most_bytes`. In a group each process asks for its part, and all keep all answers.
  void remember(const Dataset& data, int64_t most_bytes, Progress& progress, const ProcessGroup* group = nullptr);

  /// One tensor per wanted value, for the samples of a shard; safe to call from several threads.
  std::vector<Tensor> answers(const Shard& shard) const;

 private:
  struct Feed {
    size_t input = 0;                        // of the student
    std::vector<int64_t> order = {};         // of the axes; empty: as they are
    std::vector<int64_t> sizes = {};         // behind the batch; empty: as they are
    DType dtype = DType::undefined;
  };
  std::vector<Tensor> run(const RunValues& given, int64_t count) const;
  RunValue feed(const Feed& feed, const Tensor& given) const;

  Executor executor_;
  std::vector<Feed> feeds_;
  int64_t batch_ = 0;                        // that the teacher wants; 0: any
  std::vector<Tensor> kept_;                 // [samples, ...] per wanted value; empty: nothing is kept
};

}  // namespace niwaki
