#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace niwaki {

/// A 95 % confidence interval.
struct Interval {
  double lo = 0, hi = 0;
};

/// One latency measurement of both models: {original, candidate}, milliseconds.
using LatencyPair = std::pair<double, double>;

/// Tango's score interval for the drop (b - c) / n of a share measured on the same n samples; b
/// samples are right for the baseline alone, c for the candidate alone.
Interval tango(int64_t b, int64_t c, int64_t n);

/// Exact two-sided McNemar p-value of b against c discordant samples.
double mcnemar_p(int64_t b, int64_t c);

/// Wilson's score interval for the share k / n.
Interval wilson(int64_t k, int64_t n);

/// Percentile bootstrap of the mean over samples, 10,000 draws; the same seed gives the same
/// interval.
Interval bootstrap_mean(std::span<const double> values, uint64_t seed = 0);

/// As bootstrap_mean, of sum(w x) / sum(w); weights are >= 0 and as many as values.
Interval bootstrap_weighted_mean(std::span<const double> values, std::span<const double> weights,
                                 uint64_t seed = 0);

/// Bootstrap of median(candidate) / median(original) over rounds, then over the pairs of each drawn
/// round.
Interval bootstrap_ratio(std::span<const std::vector<LatencyPair>> rounds, uint64_t seed = 0);

/// How often each of `size` samples occurs in bootstrap draw number `draw`; the counts add up to
/// size.
std::vector<uint32_t> resample_counts(size_t size, uint64_t seed, uint64_t draw);

/// The 2.5 % and 97.5 % quantiles, interpolated; reorders `draws`, which must not be empty.
Interval percentile_interval(std::vector<double>& draws);

}  // namespace niwaki
