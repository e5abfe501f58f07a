#include "passes/share/cluster_weights.h"

#include "compress/parallel.h"

#include <algorithm>
#include <cmath>

namespace niwaki {
namespace {

constexpr int64_t kChunk = 1 << 15;          // weights of one task; sums are joined in their order
constexpr double kLeastGain = 1e-9;          // of the objective: less ends the iteration

/// Sums over the weights of one centroid.
struct Sums {
  double importance = 0, weighted = 0;
  int64_t count = 0;
};

class Lloyd {
 public:
  Lloyd(const Tensor& weights, const Tensor& importance, const ClusterOptions& options)
      : weights_(weights), importance_(importance), options_(options), indices_(at::zeros({weights.numel()}, at::kLong)) {
    spread();
  }

  Codebook run() {
    std::vector<double> objective;
    for (int i = 0; i < options_.max_iterations; ++i) {
      assign();
      update();
      const double now = cost();
      const bool gains = objective.empty() || objective.back() - now > kLeastGain * objective.back();
      objective.push_back(now);
      if (!gains) break;
    }
    return {.centroids = centroids_, .indices = indices_, .objective = std::move(objective)};
  }

 private:
  void spread() {
    const double low = weights_.min().item<double>(), high = weights_.max().item<double>();
    const int64_t count = std::max<int64_t>(1, options_.size - (options_.keeps_zeros ? 1 : 0));
    for (int64_t i = 0; i < count; ++i) centroids_.push_back(count == 1 ? (low + high) / 2 : low + (high - low) * static_cast<double>(i) / static_cast<double>(count - 1));
    if (options_.keeps_zeros) centroids_.push_back(0);
    std::sort(centroids_.begin(), centroids_.end());
    centroids_.erase(std::unique(centroids_.begin(), centroids_.end()), centroids_.end());
    bits_.assign(centroids_.size(), 0);
  }

  double importance_of(const double* importance, int64_t i) const { return importance ? importance[i] : 1.0; }

  /// The centroid of least cost, ties to the lower one.
  int64_t best(double weight, double importance) const {
    if (options_.keeps_zeros && weight == 0) return std::find(centroids_.begin(), centroids_.end(), 0.0) - centroids_.begin();
    int64_t found = 0;
    double least = std::numeric_limits<double>::infinity();
    for (size_t k = 0; k < centroids_.size(); ++k) {
      const double own = importance * (weight - centroids_[k]) * (weight - centroids_[k]) + options_.rate * bits_[k];
      if (own < least) found = static_cast<int64_t>(k), least = own;
    }
    return found;
  }

  void assign() {
    const double* weights = weights_.const_data_ptr<double>();
    const double* importance = importance_.defined() ? importance_.const_data_ptr<double>() : nullptr;
    int64_t* indices = indices_.mutable_data_ptr<int64_t>();
    const int64_t size = weights_.numel();
    parallel_for((size + kChunk - 1) / kChunk, [&](int64_t chunk) {
      for (int64_t i = chunk * kChunk; i < std::min(size, (chunk + 1) * kChunk); ++i) indices[i] = best(weights[i], importance_of(importance, i));
    });
  }

  std::vector<Sums> sums() const {
    const double* weights = weights_.const_data_ptr<double>();
    const double* importance = importance_.defined() ? importance_.const_data_ptr<double>() : nullptr;
    const int64_t* indices = indices_.const_data_ptr<int64_t>();
    std::vector<Sums> found(centroids_.size());
    for (int64_t i = 0; i < weights_.numel(); ++i) {
      Sums& one = found[static_cast<size_t>(indices[i])];
      one.importance += importance_of(importance, i);
      one.weighted += importance_of(importance, i) * weights[i];
      ++one.count;
    }
    return found;
  }

  /// Means and code lengths of what was assigned; a centroid without weights goes, but for the zero.
  void update() {
    const std::vector<Sums> found = sums();
    std::vector<double> centroids, bits;
    std::vector<int64_t> places(centroids_.size(), 0);
    for (size_t k = 0; k < centroids_.size(); ++k) {
      const bool stays = options_.keeps_zeros && centroids_[k] == 0;
      if (found[k].count == 0 && !stays) continue;
      places[k] = static_cast<int64_t>(centroids.size());
      const bool moves = !stays && found[k].importance > 0;
      centroids.push_back(moves ? found[k].weighted / found[k].importance : centroids_[k]);
      const double share = static_cast<double>(std::max<int64_t>(found[k].count, 1)) / static_cast<double>(weights_.numel());
      bits.push_back(-std::log2(share));
    }
    if (centroids.size() != centroids_.size()) indices_ = at::tensor(places, at::kLong).index_select(0, indices_);
    centroids_ = std::move(centroids);
    bits_ = std::move(bits);
  }

  double cost() const {
    const double* weights = weights_.const_data_ptr<double>();
    const double* importance = importance_.defined() ? importance_.const_data_ptr<double>() : nullptr;
    const int64_t* indices = indices_.const_data_ptr<int64_t>();
    double sum = 0;
    for (int64_t i = 0; i < weights_.numel(); ++i) {
      const auto k = static_cast<size_t>(indices[i]);
      const double error = weights[i] - centroids_[k];
      sum += importance_of(importance, i) * error * error + options_.rate * bits_[k];
    }
    return sum;
  }

  const Tensor weights_, importance_;
  const ClusterOptions& options_;
  std::vector<double> centroids_, bits_;
  Tensor indices_;
};

}  // namespace

Codebook cluster_weights(const Tensor& weights, const Tensor& importance, const ClusterOptions& options) {
  if (weights.numel() == 0) return {.centroids = {}, .indices = at::zeros({0}, at::kLong), .objective = {}};
  return Lloyd(weights.contiguous(), importance.defined() ? importance.contiguous() : importance, options).run();
}

Tensor shared_values(const Codebook& codebook) { return at::tensor(codebook.centroids, at::kDouble).index_select(0, codebook.indices); }

}  // namespace niwaki
