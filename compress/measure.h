#pragma once

#include "compress/runtime_worker.h"

#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace niwaki {

struct LatencyOptions {
  int rounds = 3;                    // fresh pairs of processes
  int runs = 30;                     // pairs of blocks in a round, at least
  double seconds_per_side = 1;       // timed, in a round
  double warm_up_seconds = 1;        // a side, at most
  double max_seconds = 60;           // no new block begins later
  double wanted_half_width = 0.02;   // of the ratio: further rounds are left out
  int threads = 0;                   // 0: the default of ONNX Runtime
  uint64_t seed = 0;                 // of the bootstrap
  WorkerOptions worker;
};

/// Milliseconds per run.
struct LatencySummary {
  double min = 0, p50 = 0, p95 = 0, mean = 0, sd = 0;
};

struct Latency {
  std::string runtime = "onnxruntime", version;
  int threads = 0, rounds = 0, pairs = 0;  // pairs of blocks, over all rounds
  LatencySummary before, after;
  double ratio = 1;                        // after / before: below 1 is faster
  std::array<double, 2> ci95 = {1, 1};
  double spread = 0;  // half of p10 to p90 over p50 of the blocks, of the wider side
  /// The numbers are too restless to be trusted (W3403).
  bool is_unsteady() const { return spread > 0.1; }
};

/// Median milliseconds of one block of runs, before and after.
using BlockPair = std::pair<double, double>;
using Rounds = std::vector<std::vector<BlockPair>>;

/// Median over all pairs of after / before: what slows a pair's neighbours down cancels out.
double median_ratio(const Rounds& rounds);
/// 95 % interval of that ratio: bootstrap over rounds, then pairs; the same for the same seed.
std::array<double, 2> bootstrap_ratio(const Rounds& rounds, uint64_t seed, int draws = 2000);
LatencySummary summarize_times(std::vector<double> times_ms);

/// Times two models in fresh pairs of processes, in blocks A B B A with the idle side paused.
Latency measure_latency(const std::string& before, const std::string& after,
                        const NamedTensors& inputs, const LatencyOptions& options = {});

struct Memory {
  uint64_t peak_bytes = 0;      // highest RSS, less the RSS with the runtime loaded and no model
  uint64_t baseline_bytes = 0;  // that RSS
};
/// Loads and runs a model in one more fresh process.
Memory measure_peak_memory(const std::string& model, const NamedTensors& inputs, int threads = 0,
                           const WorkerOptions& worker = {});

}  // namespace niwaki
