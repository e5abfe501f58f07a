#pragma once

#include "compress/graph.h"
#include "compress/ops/op_table.h"

#include <map>
#include <memory>
#include <mutex>
#include <span>

namespace niwaki {

/// One array of samples along the first axis, read a few at a time.
class SampleArray {
 public:
  virtual ~SampleArray() = default;
  virtual DType dtype() const = 0;
  virtual std::vector<int64_t> sizes() const = 0;           // [samples, ...]
  /// Samples [first, first + count) as a tensor of its own; may be called from several threads.
  virtual RunValue rows(int64_t first, int64_t count) const = 0;
};

/// Arrays by name, as a file holds them.
using SampleArrays = std::map<std::string, std::shared_ptr<const SampleArray>>;

/// Samples for the inputs of one graph, streamed; nothing is kept, so memory does not grow with their number.
class Dataset {
 public:
  struct Batch {
    RunValues inputs;                        // in the order of Executor::inputs()
    Tensor labels;                           // [count, ...], undefined without labels
    int64_t first = 0, count = 0;            // samples; a filled-up batch has more rows than `count`
  };
  struct Options {
    int64_t samples = 0;                     // a seeded subset of so many; 0: all
    int64_t batch = 32;                      // where the model's batch is symbolic
    uint64_t seed = 0;
    std::map<std::string, std::string> fixed;   // --input NAME=VALUE: a number for an input the arrays lack
    bool want_labels = false;
  };
  /// Fits arrays to the graph's inputs: names, ranks and types checked (E1704 to E1712), a fixed batch found out,
  /// casts that lose nothing made. `place` is what messages call the data.
  Dataset(const Graph& graph, SampleArrays arrays, const Options& options, std::string place);

  int64_t num_samples() const { return num_samples_; }
  int64_t num_batches() const;
  int64_t batch_size() const { return batch_; }
  bool is_batch_fixed() const { return is_batch_fixed_; }
  bool has_labels() const { return labels_ != nullptr; }
  /// Batch i; may be called from several threads. E1710 where over 1 % of the samples are not finite.
  Batch batch(int64_t index) const;
  /// These samples in this order, with the same checks; may be called from several threads. Where the model's batch is fixed,
  /// at most that many, filled up with the last.
  Batch gather(std::span<const int64_t> samples) const;
  /// The same samples with their arrays in memory where those take at most so many bytes, for access in any order; otherwise
  /// itself: arrays that are compressed are then read from their start for every step back.
  Dataset in_memory(int64_t most_bytes) const;
  /// The same samples in batches of so many, also where the model's batch is fixed: for those who know that it runs any.
  Dataset in_batches(int64_t batch) const;
  /// The first `count` samples only.
  Dataset head(int64_t count) const;

 private:
  struct Feed {
    std::string name;
    DType dtype = DType::undefined;
    std::shared_ptr<const SampleArray> array;   // null: `constant` for every sample
    RunValue constant;
  };
  Batch read(std::span<const int64_t> places, int64_t first) const;
  std::vector<Feed> feeds_;
  std::shared_ptr<const SampleArray> labels_;
  std::vector<int64_t> chosen_;              // sample indices of a subset, sorted; empty: all
  int64_t num_samples_ = 0, batch_ = 1;
  bool is_batch_fixed_ = false;
  std::string place_;
};

}  // namespace niwaki
