#include "compress/metrics.h"

#include "compress/error.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <set>
#include <utility>

namespace niwaki {
namespace {

const std::vector<MetricTraits>& all_traits() {
  static const std::vector<MetricTraits> traits = {
      {"agreement", true, "pt", false, true}, {"auc", true, "pt", true, true},
      {"cosine", true, "", false, false},     {"f1", true, "pt", true, true},
      {"mae", false, "", true, false},        {"mse", false, "", true, false},
      {"nats", false, "nat", true, false},    {"perplexity", false, "nat", true, false},
      {"psnr", true, "dB", true, false},      {"sqnr_db", true, "dB", false, false},
      {"top1", true, "pt", true, true},       {"top5", true, "pt", true, true}};
  return traits;
}

Tensor first(const Tensor& tensor, int64_t count) {
  if (tensor.dim() == 0 || tensor.size(0) < count) {
    throw InternalError(cat("a batch of shape ", shape_text(tensor.sizes()), " has fewer than ",
                            count, " samples"));
  }
  return tensor.detach().narrow(0, 0, count).to(at::kCPU);
}

Tensor rows(const Tensor& tensor, int64_t count) {
  return first(tensor, count).to(at::kDouble).reshape({count, -1});
}

void require_same_size(const Tensor& output, const Tensor& reference) {
  if (output.numel() == reference.numel()) return;
  throw ModelError("E1712", cat("the output has shape ", shape_text(output.sizes()),
                                ", its reference ", shape_text(reference.sizes())));
}

/// Classes [count, positions]: integer outputs as they are, class maps and token scores per
/// position, other scores one per sample. The first of equal scores wins.
Tensor classes(const Tensor& output, int64_t count, bool by_position) {
  const Tensor batch = first(output, count);
  if (!at::isFloatingType(batch.scalar_type())) return batch.to(at::kLong).reshape({count, -1});
  const Tensor exact = batch.to(at::kDouble);
  if (by_position && batch.dim() >= 4) return exact.argmax(1).reshape({count, -1});
  if (by_position && batch.dim() == 3) return exact.argmax(2).reshape({count, -1});
  return exact.reshape({count, -1}).argmax(1, /*keepdim=*/true);
}

void keep_matches(const Tensor& found, const Tensor& wanted, const auto& keep) {
  const Tensor share = found.eq(wanted).to(at::kDouble).mean(1).contiguous();
  for (int64_t i = 0; i < share.size(0); ++i)
    keep(share.data_ptr<double>()[i], static_cast<double>(wanted.size(1)));
}

class Top1 : public Metric {
 public:
  using Metric::Metric;
  void add(const Tensor& output, const Tensor& labels, int64_t count) override {
    const Tensor wanted = first(labels, count).to(at::kLong).reshape({count, -1});
    const Tensor found = classes(output, count, wanted.size(1) > 1);
    require_same_size(found, wanted);
    keep_matches(found, wanted, [&](double share, double positions) { keep(share, positions); });
  }
};

class Agreement : public Metric {
 public:
  using Metric::Metric;
  void add(const Tensor& output, const Tensor& original, int64_t count) override {
    const Tensor found = classes(output, count, true), wanted = classes(original, count, true);
    require_same_size(found, wanted);
    keep_matches(found, wanted, [&](double share, double positions) { keep(share, positions); });
  }
};

class Top5 : public Metric {
 public:
  using Metric::Metric;
  void add(const Tensor& output, const Tensor& labels, int64_t count) override {
    const Tensor scores = rows(output, count);
    const Tensor wanted = first(labels, count).to(at::kLong).reshape({count, -1});
    if (wanted.size(1) != 1) require_same_size(wanted.select(1, 0), wanted);
    if (wanted.min().item<int64_t>() < 0 || wanted.max().item<int64_t>() >= scores.size(1)) {
      throw ModelError("E1712",
                       cat("a label is outside of the ", scores.size(1), " classes of the output"));
    }
    const Tensor own = scores.gather(1, wanted);
    const Tensor index = at::arange(scores.size(1), at::kLong).unsqueeze(0);
    const Tensor ahead =
        scores.gt(own).logical_or(scores.eq(own).logical_and(index.lt(wanted))).sum(1);
    const Tensor right =
        ahead.lt(5).logical_and(own.squeeze(1).eq(own.squeeze(1)));  // NaN is never right
    for (int64_t i = 0; i < count; ++i) keep(right[i].item<bool>() ? 1 : 0);
  }
};

/// Mean over elements, then over samples, of |difference| to some power.
class ElementError : public Metric {
 public:
  ElementError(MetricTraits traits, bool squared) : Metric(std::move(traits)), squared_(squared) {}
  void add(const Tensor& output, const Tensor& target, int64_t count) override {
    const Tensor found = rows(output, count), wanted = rows(target, count);
    require_same_size(found, wanted);
    const Tensor difference = (found - wanted).abs();
    const Tensor error = (squared_ ? difference * difference : difference).mean(1).contiguous();
    for (int64_t i = 0; i < count; ++i) keep(error.data_ptr<double>()[i]);
  }

 private:
  bool squared_;
};

class Psnr : public Metric {
 public:
  Psnr(MetricTraits traits, const MetricOptions& options)
      : Metric(std::move(traits)), peak_(options.peak), border_(options.border) {}
  void add(const Tensor& output, const Tensor& target, int64_t count) override {
    require_same_size(output, target);
    const Tensor difference =
        cropped(rows(output, count).reshape(output.narrow(0, 0, count).sizes())) -
        cropped(rows(target, count).reshape(output.narrow(0, 0, count).sizes()));
    const Tensor error = difference.square().reshape({count, -1}).mean(1).contiguous();
    for (int64_t i = 0; i < count; ++i) {
      // an exact copy counts as 100 dB: infinity would hide all other samples
      const double mse = std::max(error.data_ptr<double>()[i], peak_ * peak_ * 1e-10);
      keep(10 * std::log10(peak_ * peak_ / mse));
    }
  }

 private:
  Tensor cropped(const Tensor& image) const {
    if (border_ == 0 || image.dim() < 3) return image;
    const int64_t height = image.size(-2) - 2 * border_, width = image.size(-1) - 2 * border_;
    if (height < 1 || width < 1)
      throw UsageError("E2011", cat("border ", border_, " leaves nothing of the image"));
    return image.narrow(-2, border_, height).narrow(-1, border_, width);
  }
  double peak_;
  int64_t border_;
};

/// Negative log likelihood of token ids; perplexity is its exponential.
class TokenLoss : public Metric {
 public:
  TokenLoss(MetricTraits traits, bool exponential)
      : Metric(std::move(traits)), exponential_(exponential) {}
  void add(const Tensor& output, const Tensor& labels, int64_t count) override {
    const int64_t num_classes = output.size(-1);
    Tensor wanted = first(labels, count).to(at::kLong).reshape({count, -1});
    const Tensor logits = first(
        output.reshape({-1, output.numel() / output.size(0) / num_classes, num_classes}), count);
    if (logits.size(1) < wanted.size(1)) wanted = wanted.narrow(1, 0, logits.size(1));
    if (logits.size(1) != wanted.size(1)) require_same_size(logits.select(2, 0), wanted);
    if (wanted.max().item<int64_t>() >= num_classes) {
      throw ModelError("E1712",
                       cat("a label is outside of the ", num_classes, " classes of the output"));
    }
    for (int64_t i = 0; i < count; ++i) add_sequence(logits[i].to(at::kDouble), wanted[i]);
  }

 protected:
  double from_mean(double mean) const override { return exponential_ ? std::exp(mean) : mean; }

 private:
  void add_sequence(const Tensor& logits, const Tensor& labels) {  // [tokens, classes], [tokens]
    const Tensor counted = labels.ge(0);
    const Tensor picked = logits.gather(1, labels.clamp_min(0).unsqueeze(1)).squeeze(1);
    const Tensor losses =
        at::where(counted, at::logsumexp(logits, {1}) - picked, at::zeros_like(picked));
    const double tokens = counted.sum().item<double>();
    keep(tokens > 0 ? losses.sum().item<double>() / tokens : 0, tokens);
  }
  bool exponential_;
};

class Cosine : public Metric {
 public:
  using Metric::Metric;
  void add(const Tensor& output, const Tensor& original, int64_t count) override {
    const Tensor found = rows(output, count), wanted = rows(original, count);
    require_same_size(found, wanted);
    for (int64_t i = 0; i < count; ++i) {
      const double dot = found[i].dot(wanted[i]).item<double>();
      const double norms = std::sqrt(found[i].dot(found[i]).item<double>() *
                                     wanted[i].dot(wanted[i]).item<double>());
      keep(norms > 0                   ? std::clamp(dot / norms, -1.0, 1.0)
           : found[i].equal(wanted[i]) ? 1
           : std::isnan(norms)         ? norms
                                       : 0);
    }
  }
};

/// Signal to noise of all samples together; a sample's number is noise over signal, its weight the
/// signal.
class Sqnr : public Metric {
 public:
  using Metric::Metric;
  void add(const Tensor& output, const Tensor& original, int64_t count) override {
    const Tensor found = rows(output, count), wanted = rows(original, count);
    require_same_size(found, wanted);
    const Tensor noise = (found - wanted).square().sum(1), signal = wanted.square().sum(1);
    for (int64_t i = 0; i < count; ++i) {
      const double power = std::max(signal[i].item<double>(), std::numeric_limits<double>::min());
      keep(noise[i].item<double>() / power, power);
    }
  }

 protected:
  double from_mean(double mean) const override { return -10 * std::log10(mean); }
};

class F1 : public Metric {
 public:
  F1(MetricTraits traits, std::string average)
      : Metric(std::move(traits)), average_(std::move(average)) {}
  void add(const Tensor& output, const Tensor& labels, int64_t count) override {
    const Tensor wanted = first(labels, count).to(at::kLong).reshape({count, -1});
    const bool one_score =
        at::isFloatingType(output.scalar_type()) && output.numel() == output.size(0);
    const Tensor found =
        one_score ? rows(output, count).gt(0.5).to(at::kLong) : classes(output, count, false);
    require_same_size(found, wanted);
    for (int64_t i = 0; i < count; ++i) {
      keep(static_cast<double>(found[i][0].item<int64_t>()));
      labels_.push_back(static_cast<double>(wanted[i][0].item<int64_t>()));
    }
  }
  double value() const override { return resampled(std::vector<uint32_t>(labels_.size(), 1)); }
  bool is_set_level() const override { return true; }
  double resampled(const std::vector<uint32_t>& counts) const override {
    struct Tally {
      double hit = 0, found = 0, wanted = 0;
    };
    std::map<double, Tally> tallies;
    Tally all;
    for (size_t i = 0; i < labels_.size(); ++i) {
      const double times = counts[i], hit = per_sample_[i] == labels_[i] ? times : 0;
      if (times == 0) continue;
      tallies[per_sample_[i]].found += times;
      tallies[labels_[i]].wanted += times;
      tallies[labels_[i]].hit += hit;
      all.hit += hit;
      all.found += times;
      all.wanted += times;
    }
    const auto f1 = [](const Tally& t) {
      return t.found + t.wanted > 0 ? 2 * t.hit / (t.found + t.wanted) : 0;
    };
    if (average_ == "micro") return f1(all);
    if (average_ == "binary") return f1(tallies[1]);
    double sum = 0;
    for (const auto& [label, tally] : tallies) sum += f1(tally);
    return tallies.empty() ? 0 : sum / static_cast<double>(tallies.size());
  }

 private:
  std::string average_;
  std::vector<double> labels_;
};

class Auc : public Metric {
 public:
  using Metric::Metric;
  void add(const Tensor& output, const Tensor& labels, int64_t count) override {
    const Tensor scores = rows(output, count), wanted = rows(labels, count);
    if (scores.size(1) > 2 || wanted.size(1) != 1) require_same_size(scores, wanted);
    for (int64_t i = 0; i < count; ++i) {
      const double label = wanted[i][0].item<double>();
      if (label != 0 && label != 1)
        throw ModelError("E1712", cat("auc needs labels 0 and 1, found ", label));
      // of two class scores the difference orders the samples, for logits and for probabilities
      keep(scores.size(1) == 2 ? (scores[i][1] - scores[i][0]).item<double>()
                               : scores[i][0].item<double>());
      is_positive_.push_back(label == 1);
    }
    order_.resize(per_sample_.size());
    std::iota(order_.begin(), order_.end(), size_t{0});
    is_sorted_ = false;
  }
  double value() const override { return resampled(std::vector<uint32_t>(per_sample_.size(), 1)); }
  bool is_set_level() const override { return true; }
  double resampled(const std::vector<uint32_t>& counts) const override {
    sort();
    double wins = 0, negatives = 0, positives = 0;
    for (size_t i = 0; i < order_.size();) {
      double positive = 0, negative = 0;
      const double score = per_sample_[order_[i]];
      do {
        (is_positive_[order_[i]] ? positive : negative) += counts[order_[i]];
        ++i;
      } while (i < order_.size() && per_sample_[order_[i]] == score);
      wins += positive * (negatives + negative / 2);  // ties count half
      negatives += negative;
      positives += positive;
    }
    return positives * negatives > 0 ? wins / (positives * negatives) : 0.5;
  }

 private:
  void sort() const {
    if (is_sorted_) return;
    std::stable_sort(order_.begin(), order_.end(),
                     [&](size_t a, size_t b) { return per_sample_[a] < per_sample_[b]; });
    is_sorted_ = true;
  }
  std::vector<bool> is_positive_;
  mutable std::vector<size_t> order_;  // samples by score, sorted at the first reading
  mutable bool is_sorted_ = false;
};

}  // namespace

void Metric::keep(double number, double weight) {
  per_sample_.push_back(number);
  weights_.push_back(weight);
}

double Metric::value() const {
  double sum = 0, weight = 0;
  for (size_t i = 0; i < per_sample_.size(); ++i) {
    sum += per_sample_[i] * weights_[i];
    weight += weights_[i];
  }
  return from_mean(weight > 0 ? sum / weight : 0);
}

double Metric::resampled(const std::vector<uint32_t>& counts) const {
  double sum = 0, weight = 0;
  for (size_t i = 0; i < per_sample_.size(); ++i) {
    sum += counts[i] * per_sample_[i] * weights_[i];
    weight += counts[i] * weights_[i];
  }
  return from_mean(weight > 0 ? sum / weight : 0);
}

std::vector<std::string> metric_names() {
  std::vector<std::string> names;
  for (const MetricTraits& traits : all_traits()) names.push_back(traits.name);
  return names;
}

const MetricTraits& metric_traits(const std::string& name) {
  for (const MetricTraits& traits : all_traits()) {
    if (traits.name == name) return traits;
  }
  const std::vector<std::string> names = metric_names();
  const std::string near = nearest(name, names);
  std::string list;
  for (const std::string& known : names) list += (list.empty() ? "" : ", ") + known;
  throw UsageError(
      "E2011", "unknown metric '" + printable(name) + "'",
      {.found = near.empty() ? "" : "did you mean '" + near + "'?", .help = "use one of: " + list});
}

std::unique_ptr<Metric> make_metric(const std::string& name, const MetricOptions& options) {
  const MetricTraits& traits = metric_traits(name);
  if (name == "top1") return std::make_unique<Top1>(traits);
  if (name == "top5") return std::make_unique<Top5>(traits);
  if (name == "agreement") return std::make_unique<Agreement>(traits);
  if (name == "auc") return std::make_unique<Auc>(traits);
  if (name == "cosine") return std::make_unique<Cosine>(traits);
  if (name == "mae" || name == "mse") return std::make_unique<ElementError>(traits, name == "mse");
  if (name == "psnr") return std::make_unique<Psnr>(traits, options);
  if (name == "sqnr_db") return std::make_unique<Sqnr>(traits);
  if (name != "f1") return std::make_unique<TokenLoss>(traits, name == "perplexity");
  const std::set<std::string> averages = {"binary", "macro", "micro"};
  if (averages.count(options.average)) return std::make_unique<F1>(traits, options.average);
  throw UsageError("E2011", "unknown average '" + printable(options.average) +
                                "' of f1; use macro, micro or binary");
}

Tensor reconstruction_error(const Tensor& output, const Tensor& input, int64_t count) {
  const Tensor found = rows(output, count), wanted = rows(input, count);
  require_same_size(found, wanted);
  return (found - wanted).square().mean(1);
}

}  // namespace niwaki
