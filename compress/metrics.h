#pragma once

#include "compress/tensor.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace niwaki {

/// What a metric means, beside its value.
struct MetricTraits {
  std::string name;
  bool higher_is_better = true;
  std::string unit;          // of a drop: "pt", "nat", "dB", or "" for the metric's own
  bool needs_labels = true;  // else it is measured against the original model's outputs
  bool is_share = false;     // 0 to 1, shown in percent
};

/// Choices that few metrics have (ux.md section 4).
struct MetricOptions {
  std::string average = "macro";  // f1: macro, micro, binary
  double peak = 1;                // psnr: the largest possible value
  int64_t border = 0;             // psnr: rows and columns left out at each side
};

/// Streamed scoring; keeps a few numbers per sample, so that memory does not depend on the size of
/// the outputs.
class Metric {
 public:
  explicit Metric(MetricTraits traits) : traits_(std::move(traits)) {}
  virtual ~Metric() = default;
  /// Scores the first `count` samples of a batch; `reference` are the labels, or the original's
  /// output where the metric needs none. Labels below 0 are ignored by nats and perplexity.
  virtual void add(const Tensor& output, const Tensor& reference, int64_t count) = 0;
  /// The score over all samples so far; a share is 0 to 1.
  virtual double value() const;
  /// One number per sample whose weighted mean gives value(): right or wrong, nats per token, noise
  /// over signal (sqnr_db), predicted class (f1), score (auc).
  const std::vector<double>& per_sample() const { return per_sample_; }
  /// Tokens, positions or signal of each sample; 1 where samples count alike.
  const std::vector<double>& weights() const { return weights_; }
  const MetricTraits& traits() const { return traits_; }
  /// The value over samples drawn `counts[i]` times each, for the bootstrap of set-level metrics.
  virtual double resampled(const std::vector<uint32_t>& counts) const;
  /// True for f1 and auc: the value is no mean over samples.
  virtual bool is_set_level() const { return false; }

 protected:
  /// What the weighted mean becomes: itself, its exponential, decibels.
  virtual double from_mean(double mean) const { return mean; }
  void keep(double number, double weight = 1);
  std::vector<double> per_sample_, weights_;
  MetricTraits traits_;
};

/// A metric by its name in recipes; UsageError E2011 for an unknown name or option.
std::unique_ptr<Metric> make_metric(const std::string& name, const MetricOptions& options = {});
/// E2011 for an unknown name.
const MetricTraits& metric_traits(const std::string& name);
/// Sorted.
std::vector<std::string> metric_names();

/// Mean squared difference per sample of a reconstruction and its input, as scores for `auc`;
/// [count].
Tensor reconstruction_error(const Tensor& output, const Tensor& input, int64_t count);

}  // namespace niwaki
