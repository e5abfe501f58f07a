#include "compress/intervals.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

namespace niwaki {
namespace {

constexpr double kZ = 1.959963984540054;  // standard normal quantile at 97.5 %
constexpr size_t kDraws = 10000;
constexpr size_t kMostGroups = 20000;  // beyond it samples are drawn in groups: the cost stays flat

/// SplitMix64 started at a place that depends on (seed, draw) alone, never on a thread.
class Random {
 public:
  Random(uint64_t seed, uint64_t draw) : state_(mix(seed + 0x9e3779b97f4a7c15u) ^ mix(draw)) {}
  /// Uniform in [0, size), size < 2^32.
  size_t below(size_t size) {
    state_ += 0x9e3779b97f4a7c15u;
    return static_cast<size_t>(((mix(state_) >> 32) * size) >> 32);
  }

 private:
  static uint64_t mix(uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
  }
  uint64_t state_;
};

/// Tango (1998), equation 5: the score of H0 "the drop is `drop`", with q21 the restricted
/// likelihood estimate.
double tango_score(double b, double c, double n, double drop) {
  const double quadratic = 2 * n;
  const double linear = -b - c + (2 * n - b + c) * drop;
  const double constant = -c * drop * (1 - drop);
  const double root = std::sqrt(std::max(linear * linear - 4 * quadratic * constant, 0.0));
  // the clamp keeps both off-diagonal probabilities >= 0 where the root cancels
  const double q21 =
      std::clamp((root - linear) / (2 * quadratic), std::max(0.0, -drop), (1 - drop) / 2);
  const double variance = n * (2 * q21 + drop * (1 - drop));
  const double difference = b - c - n * drop;
  if (variance > 0) return difference / std::sqrt(variance);
  return difference == 0 ? 0 : std::copysign(std::numeric_limits<double>::infinity(), difference);
}

/// The drop whose score is `target`; the score falls as the drop grows.
double tango_bound(double b, double c, double n, double target) {
  double low = -1, high = 1;
  for (int i = 0; i < 80; ++i) {
    const double middle = (low + high) / 2;
    (tango_score(b, c, n, middle) > target ? low : high) = middle;
  }
  return (low + high) / 2;
}

struct Sums {
  double weighted = 0, weight = 0;
};

/// One entry per sample, or per group of samples where there are very many: bootstrapping sums of
/// equal random groups has the same limit. Shuffled first, because an order in the data would make
/// the groups alike.
std::vector<Sums> grouped(std::span<const double> values, std::span<const double> weights,
                          uint64_t seed) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  if (values.size() > kMostGroups) {
    Random random(seed, ~uint64_t{0});
    for (size_t i = order.size() - 1; i > 0; --i) std::swap(order[i], order[random.below(i + 1)]);
  }
  std::vector<Sums> groups(std::min(values.size(), kMostGroups));
  for (size_t i = 0; i < values.size(); ++i) {
    const double weight = weights.empty() ? 1 : weights[order[i]];
    groups[i % groups.size()].weighted += weight * values[order[i]];
    groups[i % groups.size()].weight += weight;
  }
  return groups;
}

double median(std::vector<double>& values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  return (*middle + *std::max_element(values.begin(), middle)) / 2;
}

}  // namespace

Interval tango(int64_t b, int64_t c, int64_t n) {
  if (n <= 0) return {-1, 1};
  const double right = static_cast<double>(b), wrong = static_cast<double>(c),
               all = static_cast<double>(n);
  return {tango_bound(right, wrong, all, kZ), tango_bound(right, wrong, all, -kZ)};
}

double mcnemar_p(int64_t b, int64_t c) {
  const double n = static_cast<double>(b + c);
  if (b == c) return 1;
  double tail = 0;
  for (int64_t k = std::min(b, c); k >= 0; --k) {
    const double x = static_cast<double>(k);
    const double term = std::exp(std::lgamma(n + 1) - std::lgamma(x + 1) - std::lgamma(n - x + 1) -
                                 n * std::log(2.0));
    tail += term;
    if (term < 1e-18 * tail) break;
  }
  return std::min(1.0, 2 * tail);
}

Interval wilson(int64_t k, int64_t n) {
  if (n <= 0) return {0, 1};
  const double all = static_cast<double>(n), share = static_cast<double>(k) / all;
  const double center = (share + kZ * kZ / (2 * all)) / (1 + kZ * kZ / all);
  const double half =
      kZ / (1 + kZ * kZ / all) * std::sqrt(share * (1 - share) / all + kZ * kZ / (4 * all * all));
  return {k == 0 ? 0 : std::max(0.0, center - half), k == n ? 1 : std::min(1.0, center + half)};
}

Interval bootstrap_mean(std::span<const double> values, uint64_t seed) {
  return bootstrap_weighted_mean(values, {}, seed);
}

Interval bootstrap_weighted_mean(std::span<const double> values, std::span<const double> weights,
                                 uint64_t seed) {
  if (values.empty()) return {};
  const std::vector<Sums> groups = grouped(values, weights, seed);
  std::vector<double> means;
  means.reserve(kDraws);
  for (size_t draw = 0; draw < kDraws; ++draw) {
    Random random(seed, draw);
    Sums sum;
    for (size_t i = 0; i < groups.size(); ++i) {
      const Sums& drawn = groups[random.below(groups.size())];
      sum.weighted += drawn.weighted;
      sum.weight += drawn.weight;
    }
    if (sum.weight > 0) means.push_back(sum.weighted / sum.weight);
  }
  return means.empty() ? Interval{} : percentile_interval(means);
}

Interval bootstrap_ratio(std::span<const std::vector<LatencyPair>> rounds, uint64_t seed) {
  size_t num_pairs = 0;
  std::vector<const std::vector<LatencyPair>*> filled;
  for (const auto& round : rounds) {
    num_pairs += round.size();
    if (!round.empty()) filled.push_back(&round);
  }
  if (filled.empty()) return {};
  const size_t draws = std::clamp<size_t>(20'000'000 / num_pairs, 1000, kDraws);
  std::vector<double> ratios, original, candidate;
  for (size_t draw = 0; draw < draws; ++draw) {
    Random random(seed, draw);
    original.clear();
    candidate.clear();
    for (size_t i = 0; i < filled.size(); ++i) {
      const auto& round = *filled[random.below(filled.size())];
      for (size_t j = 0; j < round.size(); ++j) {
        const LatencyPair& pair = round[random.below(round.size())];
        original.push_back(pair.first);
        candidate.push_back(pair.second);
      }
    }
    ratios.push_back(median(candidate) / median(original));
  }
  return percentile_interval(ratios);
}

std::vector<uint32_t> resample_counts(size_t size, uint64_t seed, uint64_t draw) {
  std::vector<uint32_t> counts(size, 0);
  Random random(seed, draw);
  for (size_t i = 0; i < size; ++i) ++counts[random.below(size)];
  return counts;
}

Interval percentile_interval(std::vector<double>& draws) {
  std::sort(draws.begin(), draws.end());
  const auto quantile = [&](double q) {
    const double position = q * static_cast<double>(draws.size() - 1);
    const size_t below = static_cast<size_t>(position),
                 above = std::min(below + 1, draws.size() - 1);
    const double part = position - static_cast<double>(below);
    return draws[below] + part * (draws[above] - draws[below]);
  };
  return {quantile(0.025), quantile(0.975)};
}

}  // namespace niwaki
