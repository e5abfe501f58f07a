#pragma once

#include "compress/columns.h"
#include "compress/dataset.h"
#include "compress/executor.h"
#include "compress/histogram.h"
#include "compress/progress.h"

#include <map>
#include <set>

namespace niwaki {

struct Range {
  double low = 0, high = 0;
};

/// Sums over samples and positions, per index of the channel axis, in double.
struct ChannelSums {
  Tensor sum, sum_absolute, sum_square, max_absolute;       // [channels]
  int64_t count = 0;                                         // numbers per channel
};

/// Second moments of the columns that a linear node reads, summed over samples and positions.
struct Gram {
  Tensor products;                           // double [groups, in, in]: sum of x x^T, in = (c, kh, kw) of one group
  Tensor sums;                               // double [groups, in]
  Tensor of_means;                           // double [groups, in, in]: the same, each sample's positions replaced by their mean
  int64_t count = 0;                         // columns

  Tensor mean() const { return sums / static_cast<double>(count); }
  /// products less those of the mean: what is left where a bias takes the mean (algorithms.md 0.6).
  Tensor centred() const { return products - sums.unsqueeze(2) * mean().unsqueeze(1); }
};

struct Wanted {
  std::set<ValueId> ranges, histograms;
  std::map<ValueId, int64_t> channels;       // value -> channel axis
  std::vector<LinearView> input_means;       // mean of the im2col columns that the node reads, [in per group * groups]
  std::vector<LinearView> grams;             // nodes that have_columns
  std::set<ValueId> value_grams;             // of the vectors along the last axis
  int64_t positions = 64;                    // of a Conv, per sample, that grams are summed over
  uint64_t seed = 0;
};

/// What one streamed pass over the data found out; memory does not grow with the samples.
class Statistics {
 public:
  // Each throws E1712 where nothing was seen.
  Range range(ValueId id) const;             // exact minimum and maximum
  bool has_range(ValueId id) const { return ranges_.contains(id); }
  const Histogram& histogram(ValueId id) const;
  const ChannelSums& channels(ValueId id) const;
  const Tensor& input_mean(NodeId id) const; // double [groups * in]
  /// Of the node's input; nodes that read the same columns share one.
  const Gram& gram(NodeId id) const;
  const Gram& value_gram(ValueId id) const;
  int64_t num_samples() const { return num_samples_; }

 private:
  friend class Collector;
  std::map<ValueId, Range> ranges_;
  std::map<ValueId, Histogram> histograms_;
  std::map<ValueId, ChannelSums> channels_;
  std::map<NodeId, Tensor> input_means_;
  std::map<NodeId, int64_t> mean_counts_;
  std::map<NodeId, Gram> grams_;
  std::map<NodeId, NodeId> shared_grams_;
  std::map<ValueId, Gram> value_grams_;
  int64_t num_samples_ = 0;
};

/// Runs the data through the executor once. Batches may run on several threads; what they find is joined in the order of
/// the batches, so the result is the same on any number of threads. The first NaN or infinity is E1710 with value and sample.
Statistics collect(const Executor& executor, const Graph& graph, const Dataset& data, const Wanted& wanted, Progress& progress);

}  // namespace niwaki
