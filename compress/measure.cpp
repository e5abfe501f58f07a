#include "compress/measure.h"

#include "compress/error.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>
#include <random>

namespace niwaki {
namespace {

using Clock = std::chrono::steady_clock;

// Widens the interval as Student's t would for the few rounds there are: a model against itself on
// a busy machine is then covered in 95 of 100 runs, not in 92.
constexpr double kSmallSample = 1.2;
constexpr int kMemoryRuns = 3;  // arenas have grown to their size after the second

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

/// Linear interpolation between the ranks of `sorted`.
double quantile(const std::vector<double>& sorted, double share) {
  const double position = share * (sorted.size() - 1);
  const size_t low = size_t(position);
  const size_t high = std::min(low + 1, sorted.size() - 1);
  return sorted[low] + (position - low) * (sorted[high] - sorted[low]);
}

double median_of(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return quantile(values, 0.5);
}

/// Half of the middle pair for an even count; reorders.
double quick_median(std::vector<double>& values) {
  const auto at = values.begin() + values.size() / 2;
  std::nth_element(values.begin(), at, values.end());
  if (values.size() % 2 == 1) return *at;
  return (*at + *std::max_element(values.begin(), at)) / 2;
}

std::vector<std::vector<double>> log_ratios(const Rounds& rounds) {
  std::vector<std::vector<double>> logs(rounds.size());
  for (size_t i = 0; i < rounds.size(); ++i) {
    for (const auto& [before, after] : rounds[i]) logs[i].push_back(std::log(after / before));
  }
  return logs;
}

double spread_of(std::vector<double> blocks) {
  std::sort(blocks.begin(), blocks.end());
  return (quantile(blocks, 0.9) - quantile(blocks, 0.1)) / (2 * quantile(blocks, 0.5));
}

/// One model in one process, warm.
struct Side {
  explicit Side(const WorkerOptions& options) : worker(options) {}
  void prepare(const std::string& model, const NamedTensors& inputs,
               const LatencyOptions& options) {
    session = worker.load(model, {options.threads});
    worker.bind(session, inputs);
    const double ms = std::max(1e-6, worker.warm_up(session, options.warm_up_seconds));
    const double block_ms = 1000 * options.seconds_per_side / std::max(1, options.runs);
    runs_per_block = std::max<int64_t>(1, int64_t(std::ceil(block_ms / ms)));
  }
  double block() {
    std::vector<double> block_times = worker.measure(session, runs_per_block);
    times.insert(times.end(), block_times.begin(), block_times.end());
    return median_of(std::move(block_times));
  }

  RuntimeWorker worker;
  SessionId session{};
  int64_t runs_per_block = 1;
  std::vector<double> times;
};

/// Blocks in A B B A order: a drift of the machine's speed hits both sides alike.
std::vector<BlockPair> measure_round(Side& before, Side& after, const LatencyOptions& options,
                                     Clock::time_point begin) {
  std::vector<BlockPair> pairs;
  for (int i = 0; i < options.runs; ++i) {
    if (!pairs.empty() && seconds_since(begin) >= options.max_seconds) break;
    BlockPair pair;
    if (i % 2 == 0) {
      pair.first = before.block();
      pair.second = after.block();
    } else {
      pair.second = after.block();
      pair.first = before.block();
    }
    pairs.push_back(pair);
  }
  return pairs;
}

double widest_spread(const Rounds& rounds) {
  std::vector<double> before, after;
  for (const auto& round : rounds) {
    for (const BlockPair& pair : round) {
      before.push_back(pair.first);
      after.push_back(pair.second);
    }
  }
  return std::max(spread_of(before), spread_of(after));
}

void append(std::vector<double>& all, const std::vector<double>& more) {
  all.insert(all.end(), more.begin(), more.end());
}

}  // namespace

double median_ratio(const Rounds& rounds) {
  std::vector<double> all;
  for (const auto& round : log_ratios(rounds)) append(all, round);
  return std::exp(quick_median(all));
}

std::array<double, 2> bootstrap_ratio(const Rounds& rounds, uint64_t seed, int draws) {
  std::mt19937_64 random(seed);
  // Unlike std's distributions the same everywhere; the remainder's bias is far below the noise.
  const auto below = [&](size_t count) { return size_t(random() % count); };
  const std::vector<std::vector<double>> logs = log_ratios(rounds);
  std::vector<double> medians, drawn;
  for (int draw = 0; draw < draws; ++draw) {
    drawn.clear();
    for (size_t i = 0; i < logs.size(); ++i) {
      const std::vector<double>& round = logs[below(logs.size())];
      for (size_t k = 0; k < round.size(); ++k) drawn.push_back(round[below(round.size())]);
    }
    medians.push_back(quick_median(drawn));
  }
  std::sort(medians.begin(), medians.end());
  // Drawing k rounds out of k shows (k - 1) / k of their variance. Few rounds make a lopsided
  // bootstrap, whose short side would be trusted too much: the longer one counts for both.
  const double k = double(rounds.size());
  const double widen = kSmallSample * (rounds.size() > 1 ? std::sqrt(k / (k - 1)) : 1);
  const double center = std::log(median_ratio(rounds));
  const double low = quantile(medians, 0.025), high = quantile(medians, 0.975);
  const double reach = widen * std::max({0.0, center - low, high - center});
  return {std::exp(center - reach), std::exp(center + reach)};
}

LatencySummary summarize_times(std::vector<double> times_ms) {
  if (times_ms.empty()) return {};
  std::sort(times_ms.begin(), times_ms.end());
  LatencySummary summary;
  summary.min = times_ms.front();
  summary.p50 = quantile(times_ms, 0.5);
  summary.p95 = quantile(times_ms, 0.95);
  summary.mean = std::accumulate(times_ms.begin(), times_ms.end(), 0.0) / times_ms.size();
  double squares = 0;
  for (const double time : times_ms) squares += (time - summary.mean) * (time - summary.mean);
  summary.sd = times_ms.size() > 1 ? std::sqrt(squares / (times_ms.size() - 1)) : 0;
  return summary;
}

Latency measure_latency(const std::string& before, const std::string& after,
                        const NamedTensors& inputs, const LatencyOptions& options) {
  const auto begin = Clock::now();
  Latency latency;
  latency.threads = options.threads;
  Rounds rounds;
  std::vector<double> times_before, times_after;
  for (int i = 0; i < std::max(1, options.rounds); ++i) {
    if (i > 0 && seconds_since(begin) >= options.max_seconds) break;
    Side a(options.worker), b(options.worker);
    latency.version = a.worker.version().runtime;
    a.prepare(before, inputs, options);
    b.prepare(after, inputs, options);
    rounds.push_back(measure_round(a, b, options, begin));
    append(times_before, a.times);
    append(times_after, b.times);
    latency.pairs += int(rounds.back().size());
    latency.ratio = median_ratio(rounds);
    latency.ci95 = bootstrap_ratio(rounds, options.seed);
    const double half_width = (latency.ci95[1] - latency.ci95[0]) / 2;
    // One round alone says nothing about how much two processes differ.
    if (i > 0 && half_width <= options.wanted_half_width * latency.ratio) break;
  }
  latency.rounds = int(rounds.size());
  latency.before = summarize_times(std::move(times_before));
  latency.after = summarize_times(std::move(times_after));
  latency.spread = widest_spread(rounds);
  return latency;
}

Memory measure_peak_memory(const std::string& model, const NamedTensors& inputs, int threads,
                           const WorkerOptions& worker_options) {
  RuntimeWorker worker(worker_options);
  const WorkerMemory baseline = worker.memory(/*reset=*/true);
  const SessionId session = worker.load(model, {threads});
  worker.bind(session, inputs);
  worker.measure(session, kMemoryRuns);
  const WorkerMemory highest = worker.memory();
  const uint64_t base = std::min(baseline.rss_bytes, highest.peak_bytes);
  return {highest.peak_bytes - base, baseline.rss_bytes};
}

}  // namespace niwaki
