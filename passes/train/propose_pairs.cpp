#include "passes/train/propose_pairs.h"

#include "compress/error.h"
#include "compress/parallel.h"
#include "passes/train/feature_sums.h"
#include "passes/train/teacher.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

namespace niwaki {
namespace {

constexpr int64_t kSamples = 256, kPositions = 16, kBatch = 32;
constexpr size_t kMostValues = 12;           // of a model that are candidates
constexpr double kSumBytes = 512e6;          // of all pairs together
constexpr int64_t kProbe = 2;                // samples whose values say what sizes there are

bool is_one_of(const std::string& op, const std::set<std::string>& ops) { return ops.contains(op); }

bool is_linear(const Node& node) { return is_one_of(node.op, {"Conv", "ConvTranspose", "FusedConv", "Gemm", "MatMul", "FusedMatMul", "FusedGemm"}); }

bool is_activation(const Node& node) {
  return is_one_of(node.op, {"Relu", "LeakyRelu", "PRelu", "Clip", "Elu", "Selu", "Celu", "Gelu", "FastGelu", "BiasGelu", "QuickGelu", "HardSwish",
                             "HardSigmoid", "Sigmoid", "Tanh", "Softplus", "Mish", "Swish", "ThresholdedRelu"});
}

bool is_passed(const Node& node) {
  return is_one_of(node.op, {"BatchNormalization", "LayerNormalization", "InstanceNormalization", "GroupNormalization", "Add", "Mul", "MaxPool",
                             "AveragePool", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Identity", "FakeQuantize", "Dropout"});
}

/// A value that comes from a linear node, by way of norms, biases, pooling and rounding.
bool is_behind_linear(const Graph& graph, ValueId id) {
  for (int steps = 0; steps < 8; ++steps) {
    const auto producer = graph.producer(id);
    if (!producer) return false;
    const Node& node = graph.node(*producer);
    if (is_linear(node)) return true;
    if (!is_passed(node)) return false;
    const bool is_second = graph.constant(node.inputs[0]) != nullptr && node.inputs.size() > 1;
    id = node.inputs[is_second ? 1 : 0];
  }
  return false;
}

/// x * sigmoid(x).
bool is_gated(const Graph& graph, const Node& node) {
  if (node.op != "Mul") return false;
  for (const size_t i : {size_t{0}, size_t{1}}) {
    const auto gate = graph.producer(node.inputs[i]);
    if (gate && is_one_of(graph.node(*gate).op, {"Sigmoid", "HardSigmoid"}) && graph.node(*gate).inputs[0] == node.inputs[1 - i]) return true;
  }
  return false;
}

/// Sigmoids that only gate what they read.
bool is_gate(const Graph& graph, const Node& node) {
  const auto readers = graph.consumers(node.outputs[0]);
  return std::any_of(readers.begin(), readers.end(), [&](NodeId id) { return is_gated(graph, graph.node(id)); });
}

struct Candidate {
  ValueId value, first = ValueId::absent, second = ValueId::absent;   // what a sum adds
};

std::vector<Candidate> sums_of(const Graph& graph) {
  const auto is_computed = [&](ValueId id) { return id != ValueId::absent && !graph.constant(id) && graph.producer(id); };
  std::vector<Candidate> found;
  for (const NodeId id : graph.main().nodes) {
    const Node& node = graph.node(id);
    const bool is_sum = node.op == "Add" && is_default_domain(node.domain) && is_computed(node.inputs[0]) && is_computed(node.inputs[1]);
    if (is_sum && !graph.is_output(node.outputs[0])) found.push_back({node.outputs[0], node.inputs[0], node.inputs[1]});
  }
  return found;
}

std::vector<Candidate> activations_of(const Graph& graph) {
  std::vector<Candidate> found;
  for (const NodeId id : graph.main().nodes) {
    const Node& node = graph.node(id);
    if (node.outputs.empty() || graph.is_output(node.outputs[0])) continue;
    const bool is_end = (is_activation(node) && !is_gate(graph, node) && is_behind_linear(graph, node.inputs[0])) ||
                        (is_gated(graph, node) && (is_behind_linear(graph, node.inputs[0]) || is_behind_linear(graph, node.inputs[1])));
    if (is_end) found.push_back({node.outputs[0]});
  }
  return found;
}

struct Block {
  ValueId value;
  int64_t channels = 0;
};

/// Samples spread evenly over the data, in batches.
std::vector<std::vector<int64_t>> spread_samples(const Dataset& data, int64_t most) {
  const int64_t count = std::min(most, data.num_samples()), batch = data.is_batch_fixed() ? data.batch_size() : kBatch;
  std::vector<std::vector<int64_t>> batches;
  for (int64_t i = 0; i < count; ++i) {
    if (i % batch == 0) batches.emplace_back();
    batches.back().push_back(i * data.num_samples() / count);
  }
  return batches;
}

std::vector<Tensor> values_of(const Teacher& model, const Dataset& data, const std::vector<int64_t>& samples) {
  const Dataset::Batch batch = data.gather(samples);
  return model.answers({batch.inputs, {}, samples, false, {}, {}});
}

/// Those of the candidates that have a row per sample, channels, and add two values of their own size; of maps the last of each
/// resolution.
std::vector<Block> fitting(const Graph& graph, const Graph& student, const std::vector<Candidate>& candidates, const Dataset& data, bool only_maps) {
  if (candidates.empty()) return {};
  std::vector<ValueId> wanted;
  for (const Candidate& one : candidates) {
    for (const ValueId id : {one.value, one.first, one.second}) wanted.push_back(id == ValueId::absent ? one.value : id);
  }
  const auto samples = spread_samples(data, kProbe)[0];
  const std::vector<Tensor> made = values_of(Teacher(graph, student, wanted), data, samples);
  std::vector<Block> found;
  std::vector<int64_t> resolution;           // of the last one; empty: no map
  for (size_t i = 0; i < candidates.size(); ++i) {
    const Tensor& y = made[3 * i];
    const bool has_rows = y.is_floating_point() && y.dim() >= 2 && y.dim() <= 4 && y.size(0) == static_cast<int64_t>(samples.size());
    if (!has_rows || (only_maps && y.dim() != 4) || y.sizes() != made[3 * i + 1].sizes() || y.sizes() != made[3 * i + 2].sizes()) continue;
    const Block block{candidates[i].value, y.size(y.dim() == 4 ? 1 : -1)};
    if (block.channels < 2) continue;
    const std::vector<int64_t> own = y.dim() == 4 ? y.sizes().slice(2).vec() : std::vector<int64_t>{};
    if (!own.empty() && own == resolution) found.back() = block;
    else found.push_back(block);
    resolution = own;
  }
  return found;
}

std::vector<Block> thinned(const std::vector<Block>& blocks, size_t most) {
  if (blocks.size() <= most) return blocks;
  std::vector<Block> kept;
  for (size_t k = 1; k <= most; ++k) kept.push_back(blocks[k * blocks.size() / most - 1]);
  return kept;
}

std::vector<Block> block_outputs(const Graph& graph, const Graph& student, const Dataset& data, bool only_maps) {
  const std::vector<Block> sums = fitting(graph, student, sums_of(graph), data, only_maps);
  return sums.empty() ? fitting(graph, student, activations_of(graph), data, only_maps) : sums;
}

double sum_bytes(const std::vector<Block>& own, const std::vector<Block>& others) {
  double numbers = 0;
  for (const Block& a : own) {
    for (const Block& b : others) numbers += static_cast<double>(a.channels * a.channels + b.channels * b.channels + a.channels * b.channels);
  }
  return numbers * sizeof(double);
}

/// What the samples say of every pair; nothing of one that cannot be compared.
std::vector<std::optional<FeatureSums>> collect(const Graph& student, const Graph& teacher, const std::vector<LayerPair>& pairs, const Dataset& data, Progress& progress) {
  std::vector<ValueId> own, wanted;
  const auto place_of = [](std::vector<ValueId>& list, ValueId id) {
    const auto found = std::find(list.begin(), list.end(), id);
    if (found != list.end()) return static_cast<size_t>(found - list.begin());
    list.push_back(id);
    return list.size() - 1;
  };
  std::vector<std::pair<size_t, size_t>> places;
  for (const LayerPair& pair : pairs) {
    const size_t first = place_of(own, pair.student);
    places.emplace_back(first, place_of(wanted, pair.teacher));
  }
  const Teacher pupil(student, student, own), master(teacher, student, wanted);
  const auto batches = spread_samples(data, kSamples);
  std::vector<std::pair<std::vector<Tensor>, std::vector<Tensor>>> made(batches.size());
  std::vector<std::optional<FeatureSums>> sums(pairs.size(), FeatureSums());
  progress.start("pair layers", static_cast<int64_t>(batches.size()));
  const auto work = [&](int64_t i) {
    const auto& samples = batches[static_cast<size_t>(i)];
    made[static_cast<size_t>(i)] = {values_of(pupil, data, samples), values_of(master, data, samples)};
  };
  const auto finish = [&](int64_t i) {
    const auto [mine, theirs] = std::move(made[static_cast<size_t>(i)]);
    made[static_cast<size_t>(i)] = {};
    for (size_t k = 0; k < pairs.size(); ++k) {
      if (!sums[k]) continue;
      const auto rows = feature_rows(mine[places[k].first], theirs[places[k].second], kPositions);
      if (rows) sums[k]->add(*rows);
      else sums[k].reset();
    }
    progress.advance();
  };
  ordered_for(static_cast<int64_t>(batches.size()), work, finish);
  return sums;
}

MeasuredPair measured(const LayerPair& pair, const FeatureSums& sums) {
  MeasuredPair found{pair, sums.cka(), sums.variance()};
  const Tensor projector = sums.projector();
  const int64_t channels = projector.size(1) - 1;
  if (projector.size(0) == channels) return found;
  const double own = std::sqrt(sums.student_variance()), wanted = std::sqrt(found.variance);
  if (own > 0) found.scale = own;
  const double unit = wanted > 0 ? wanted : 1;
  found.projector = at::cat({projector.narrow(1, 0, channels) * (found.scale / unit), projector.narrow(1, channels, 1) / unit}, 1).contiguous();
  return found;
}

}  // namespace

std::vector<std::pair<size_t, size_t>> best_in_order(const std::vector<std::vector<double>>& gains) {
  const size_t rows = gains.size(), columns = rows > 0 ? gains[0].size() : 0;
  // best[i][j]: of the first i rows and j columns
  std::vector<std::vector<double>> best(rows + 1, std::vector<double>(columns + 1, 0));
  for (size_t i = 1; i <= rows; ++i) {
    for (size_t j = 1; j <= columns; ++j) {
      best[i][j] = std::max({best[i - 1][j], best[i][j - 1], best[i - 1][j - 1] + gains[i - 1][j - 1]});
    }
  }
  std::vector<std::pair<size_t, size_t>> pairs;
  for (size_t i = rows, j = columns; i > 0 && j > 0;) {
    if (best[i][j] == best[i - 1][j]) --i;
    else if (best[i][j] == best[i][j - 1]) --j;
    else pairs.emplace_back(--i, --j);
  }
  std::reverse(pairs.begin(), pairs.end());
  return pairs;
}

std::vector<MeasuredPair> propose_pairs(const Graph& student, const Graph& teacher, const Dataset& data, bool only_maps, Progress& progress) {
  const std::vector<Block> mine = block_outputs(student, student, data, only_maps), theirs = block_outputs(teacher, student, data, only_maps);
  size_t most = kMostValues;
  while (most > 1 && sum_bytes(thinned(mine, most), thinned(theirs, most)) > kSumBytes) --most;
  const std::vector<Block> own = thinned(mine, most), others = thinned(theirs, most);
  if (own.empty() || others.empty()) return {};
  std::vector<LayerPair> all;
  for (const Block& one : own) {
    for (const Block& other : others) all.push_back({one.value, other.value});
  }
  const auto sums = collect(student, teacher, all, data, progress);
  std::vector<std::vector<double>> gains(own.size(), std::vector<double>(others.size(), 0));
  for (size_t k = 0; k < all.size(); ++k) gains[k / others.size()][k % others.size()] = sums[k] ? sums[k]->cka() : 0;
  std::vector<MeasuredPair> found;
  for (const auto& [i, j] : best_in_order(gains)) found.push_back(measured(all[i * others.size() + j], *sums[i * others.size() + j]));
  return found;
}

std::vector<MeasuredPair> measure_pairs(const Graph& student, const Graph& teacher, const std::vector<LayerPair>& pairs, const Dataset& data, Progress& progress) {
  if (pairs.empty()) return {};
  const auto sums = collect(student, teacher, pairs, data, progress);
  std::vector<MeasuredPair> found;
  for (size_t k = 0; k < pairs.size(); ++k) {
    if (!sums[k]) {
      throw UsageError("E3322", cat("'", printable(student.value(pairs[k].student).name), "' of the student and '", printable(teacher.value(pairs[k].teacher).name), "' of the teacher cannot be compared"),
                       {.help = "pair maps with maps, rows with rows, and sequences of the same length"});
    }
    found.push_back(measured(pairs[k], *sums[k]));
  }
  return found;
}

}  // namespace niwaki
