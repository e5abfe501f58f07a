#pragma once

#include "compress/dataset.h"
#include "compress/progress.h"
#include "passes/train/pair_layers.h"

namespace niwaki {

/// A pair, and what some of the training samples say of it.
struct MeasuredPair {
  LayerPair values;
  double cka = 0, variance = 0;              // linear alignment of both; mean variance of the teacher's channels
  double scale = 1;                          // deviation of the student's channels
  Tensor projector = {};                     // between values over their deviations, see FeatureSums; undefined where both have as many channels
};

/// Pairs (row, column), both rising, whose gains add up to the most; what gains nothing stays alone.
std::vector<std::pair<size_t, size_t>> best_in_order(const std::vector<std::vector<double>>& gains);

/// Pairs of values of two models without common names: ends of residual blocks, else activations behind linear nodes, of maps
/// the last of each resolution. In their order those that are most alike (linear CKA) on some of the samples.
std::vector<MeasuredPair> propose_pairs(const Graph& student, const Graph& teacher, const Dataset& data, bool only_maps, Progress& progress);

/// The same numbers for pairs that are known. E3322 where two values cannot be compared.
std::vector<MeasuredPair> measure_pairs(const Graph& student, const Graph& teacher, const std::vector<LayerPair>& pairs, const Dataset& data, Progress& progress);

}  // namespace niwaki
