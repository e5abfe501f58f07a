#include "passes/quantize/range_estimator.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace niwaki {
namespace {

constexpr int kBins = Histogram::kBins;

double centre(const Histogram& histogram, int bin) { return (histogram.edge(bin) + histogram.edge(bin + 1)) / 2; }

/// Centre and count of the bins that hold something.
struct Weighed {
  double x, count;
};

std::vector<Weighed> weighed_bins(const Histogram& histogram) {
  std::vector<Weighed> bins;
  for (int bin = 0; bin < kBins; ++bin) {
    const int64_t count = histogram.counts()[bin];
    if (count != 0) bins.push_back({std::clamp(centre(histogram, bin), histogram.low(), histogram.high()), static_cast<double>(count)});
  }
  return bins;
}

/// Half to even, for |x| < 2^51: std::nearbyint is a call here, and this is the inner loop of the search.
double rounded(double x) {
  constexpr double kShift = 6755399441055744.0;        // 1.5 * 2^52: whole numbers are next to each other there
  return (x + kShift) - kShift;
}

/// Squared error of the bins' centres on the grid that covers [low, high].
double grid_error(const std::vector<Weighed>& bins, double low, double high, int bits, bool is_symmetric) {
  const double steps = is_symmetric ? std::ldexp(1.0, bits) - 2 : std::ldexp(1.0, bits) - 1;
  const double scale = (high - low) / steps;
  if (!(scale > 0)) return std::numeric_limits<double>::infinity();
  const double zero = std::nearbyint(-low / scale);    // 0 is a code: the grid moves to it
  const double first = -zero * scale, last = (steps - zero) * scale, per_scale = 1 / scale;
  double error = 0;
  for (const Weighed& bin : bins) {
    const double near = std::clamp(rounded(bin.x * per_scale) * scale, first, last);
    error += bin.count * (bin.x - near) * (bin.x - near);
  }
  return error;
}

EstimatedRange by_mse(const Histogram& histogram, int bits, bool is_symmetric) {
  const double least = std::min(0.0, histogram.low()), most = std::max(0.0, histogram.high());
  const std::vector<Weighed> bins = weighed_bins(histogram);
  EstimatedRange best{least, most};
  if (is_symmetric) {
    const double largest = std::max(-least, most);
    double lowest = std::numeric_limits<double>::infinity();
    for (int percent = 100; percent >= 20; --percent) {
      const double high = largest * percent / 100;
      const double error = grid_error(bins, -high, high, bits, true);
      if (error < lowest) {
        lowest = error;
        best = {-high, high};
      }
    }
    return best;
  }
  double lowest = grid_error(bins, best.low, best.high, bits, false);
  const auto search = [&](double EstimatedRange::*side, double limit) {
    for (int percent = 99; percent >= 20; --percent) {
      EstimatedRange trial = best;
      trial.*side = limit * percent / 100;
      const double error = grid_error(bins, trial.low, trial.high, bits, false);
      if (error >= lowest) continue;
      lowest = error;
      best = trial;
    }
  };
  const int rounds = least < 0 && most > 0 ? 3 : 1;
  for (int round = 0; round < rounds; ++round) {
    if (most > 0) search(&EstimatedRange::high, most);
    if (least < 0) search(&EstimatedRange::low, least);
  }
  return best;
}

EstimatedRange by_percentile(const Histogram& histogram, double percentile, bool is_symmetric) {
  const double least = std::min(0.0, histogram.low()), most = std::max(0.0, histogram.high());
  const double share = (100 - percentile) / 100;
  const double total = static_cast<double>(histogram.total());
  const auto& counts = histogram.counts();
  if (is_symmetric) {
    const int zero = histogram.is_signed() ? kBins / 2 : 0;
    for (int reach = kBins - zero; reach > 1; --reach) {   // |x| < reach bins from zero outwards
      double inside = 0;
      for (int bin = std::max(0, zero - reach + 1); bin < std::min(kBins, zero + reach - 1); ++bin) inside += static_cast<double>(counts[bin]);
      if (total - inside > share * total) {
        const double high = std::min(std::max(-least, most), histogram.edge(std::min(kBins, zero + reach)));
        return {-high, high};
      }
    }
  }
  const double per_tail = least < 0 ? share / 2 * total : share * total;
  int first = 0, last = kBins;
  for (double mass = 0; first < kBins - 1 && mass + static_cast<double>(counts[first]) <= per_tail; ++first) mass += static_cast<double>(counts[first]);
  for (double mass = 0; last > first + 1 && mass + static_cast<double>(counts[last - 1]) <= per_tail; --last) mass += static_cast<double>(counts[last - 1]);
  return {std::min(0.0, std::max(least, histogram.edge(first))), std::max(0.0, std::min(most, histogram.edge(last)))};
}

/// Kullback-Leibler divergence of the window [first, last) saturated at its ends from itself in `levels` levels.
double divergence(const std::vector<double>& bins, int first, int last, int levels) {
  const int width = last - first;
  std::vector<double> p(bins.begin() + first, bins.begin() + last), q(static_cast<size_t>(width));
  for (int level = 0; level < levels; ++level) {
    const int begin = (level * width + levels - 1) / levels, end = std::min(width, ((level + 1) * width + levels - 1) / levels);
    double mass = 0;
    int filled = 0;
    for (int i = begin; i < end; ++i) {
      mass += p[static_cast<size_t>(i)];
      filled += p[static_cast<size_t>(i)] > 0;
    }
    for (int i = begin; i < end; ++i) q[static_cast<size_t>(i)] = p[static_cast<size_t>(i)] > 0 ? mass / filled : 0;
  }
  for (int i = 0; i < first; ++i) p.front() += bins[static_cast<size_t>(i)];
  for (size_t i = static_cast<size_t>(last); i < bins.size(); ++i) p.back() += bins[i];
  const auto smooth = [](std::vector<double>& counts) {
    double zeros = 0, smallest = std::numeric_limits<double>::infinity();
    for (const double count : counts) {
      zeros += count == 0;
      if (count > 0) smallest = std::min(smallest, count);
    }
    const double filled = static_cast<double>(counts.size()) - zeros;
    if (filled == 0 || 1e-4 * zeros / filled >= smallest) return false;
    for (double& count : counts) count = count == 0 ? 1e-4 : count - 1e-4 * zeros / filled;
    return true;
  };
  if (!smooth(p) || !smooth(q)) return std::numeric_limits<double>::infinity();
  double sum_p = 0, sum_q = 0, total = 0;
  for (size_t i = 0; i < p.size(); ++i) {
    sum_p += p[i];
    sum_q += q[i];
  }
  for (size_t i = 0; i < p.size(); ++i) total += p[i] / sum_p * std::log(p[i] / sum_p * sum_q / q[i]);
  return total;
}

EstimatedRange by_entropy(const Histogram& histogram, int bits, bool is_symmetric) {
  std::vector<double> bins(histogram.counts().begin(), histogram.counts().end());
  const bool folds = histogram.is_signed() && is_symmetric;
  if (folds) {                                             // |x|
    std::vector<double> halves(kBins / 2);
    for (int i = 0; i < kBins / 2; ++i) halves[static_cast<size_t>(i)] = bins[static_cast<size_t>(kBins / 2 + i)] + bins[static_cast<size_t>(kBins / 2 - 1 - i)];
    bins = std::move(halves);
  }
  const int zero = histogram.is_signed() && !folds ? kBins / 2 : 0, all = static_cast<int>(bins.size());
  const int levels = 1 << (is_symmetric ? bits - 1 : bits);
  const double width = histogram.edge(1) - histogram.edge(0);
  int first = 0, last = all, best_first = 0, best_last = all;
  double least = std::numeric_limits<double>::infinity();
  while (last - first >= levels) {
    const double found = divergence(bins, first, last, levels);
    if (found < least) {
      least = found;
      best_first = first;
      best_last = last;
    }
    double left = 0, right = 0;                            // drop 8 bins from the lighter end
    for (int i = 0; i < 8; ++i) {
      left += first + i < zero ? bins[static_cast<size_t>(first + i)] : std::numeric_limits<double>::infinity();
      right += last - 1 - i > zero ? bins[static_cast<size_t>(last - 1 - i)] : std::numeric_limits<double>::infinity();
    }
    if (std::isinf(left) && std::isinf(right)) break;
    if (left < right) first += 8;
    else last -= 8;
  }
  const double high = std::min(std::max(-histogram.low(), histogram.high()), (best_last - zero) * width);
  if (is_symmetric) return {-high, high};
  return {std::min(0.0, std::max(histogram.low(), (best_first - zero) * width)), std::max(0.0, std::min(histogram.high(), (best_last - zero) * width))};
}

double clipped_share(const Histogram& histogram, const EstimatedRange& range) {
  int64_t outside = 0;
  for (int bin = 0; bin < kBins; ++bin) {
    const double x = std::clamp(centre(histogram, bin), histogram.low(), histogram.high());
    if (x < range.low || x > range.high) outside += histogram.counts()[bin];
  }
  return histogram.total() > 0 ? static_cast<double>(outside) / static_cast<double>(histogram.total()) : 0;
}

}  // namespace

EstimatedRange estimate_range(const Histogram& histogram, RangeEstimator estimator, double percentile, int bits, bool is_symmetric) {
  const double least = std::min(0.0, histogram.low()), most = std::max(0.0, histogram.high());
  const double largest = std::max(-least, most);
  EstimatedRange range = is_symmetric ? EstimatedRange{-largest, largest} : EstimatedRange{least, most};
  if (histogram.total() == 0 || largest == 0) return range;
  switch (estimator) {
    case RangeEstimator::min_max: break;
    case RangeEstimator::percentile: range = by_percentile(histogram, percentile, is_symmetric); break;
    case RangeEstimator::mse: range = by_mse(histogram, bits, is_symmetric); break;
    case RangeEstimator::entropy: range = by_entropy(histogram, bits, is_symmetric); break;
  }
  range.clipped = clipped_share(histogram, range);
  return range;
}

ActivationGrid grid_of(const EstimatedRange& range, int bits, bool is_symmetric) {
  const double steps = std::ldexp(1.0, bits) - 1;
  const double low = std::min(0.0, range.low), high = std::max(0.0, range.high);
  const double scale = is_symmetric ? 2 * std::max(-low, high) / (steps - 1) : (high - low) / steps;
  ActivationGrid grid;
  if (!std::isfinite(scale) || scale < std::ldexp(1.0, -126)) return grid;
  grid.scale = static_cast<float>(scale);
  const double zero = is_symmetric ? std::ldexp(1.0, bits - 1) : std::nearbyint(-low / static_cast<double>(grid.scale));
  grid.zero_point = static_cast<int>(std::clamp(zero, 0.0, steps));
  return grid;
}

}  // namespace niwaki
