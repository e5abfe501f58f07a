#include "passes/share/share_weights.h"

#include "compress/columns.h"
#include "compress/executor.h"
#include "compress/graph_edit.h"
#include "compress/linear_view.h"
#include "compress/statistics.h"
#include "passes/share/cluster_weights.h"

#include <cmath>
#include <set>

namespace niwaki {
namespace {

constexpr int64_t kLeastWeights = 256;       // smaller tensors are all codebook
constexpr double kSparse = 0.2;              // share of zeros from which they stay
constexpr int kMostBits = 8, kLeastBits = 2;

/// The diagonal of the second moments of the inputs, laid out as the weight; undefined where there are none.
Tensor importance_of(const LinearView& view, const Tensor& weight, const Statistics* statistics) {
  if (!statistics) return {};
  const Tensor diagonal = statistics->gram(view.node).products.diagonal(0, 1, 2);      // [groups, in]
  const Tensor places = weight_rows(view, at::arange(weight.numel(), at::kLong).reshape(weight.sizes()));
  const int64_t rows_per_group = places.size(0) / diagonal.size(0);
  const Tensor rows = diagonal.repeat_interleave(rows_per_group, 0);
  if (rows.sizes() != places.sizes()) return {};
  Tensor flat = at::zeros({weight.numel()}, at::kDouble);
  flat.index_put_({places.reshape({-1})}, rows.reshape({-1}).contiguous());
  return flat.clamp_min(1e-6 * std::max(flat.mean().item<double>(), 1e-30));   // inputs that never come still have weights
}

double sqnr_db(const Tensor& before, const Tensor& after) {
  const double noise = (after - before).square().sum().item<double>(), signal = before.square().sum().item<double>();
  return noise == 0 ? 300 : 10 * std::log10(signal / noise);
}

struct Shared {
  Tensor weights;                            // double [n]
  int bits = 0;
  size_t size = 0;
  double sqnr = 0;
};

Shared share(const Tensor& flat, const Tensor& importance, const ShareWeightsOptions& options) {
  const bool is_sparse = (flat == 0).to(at::kDouble).mean().item<double>() >= kSparse;
  const Tensor weighted = importance.defined() ? importance * flat.square() : flat.square();
  ClusterOptions cluster{.keeps_zeros = is_sparse, .rate = options.rate * weighted.mean().item<double>()};
  Shared found;
  for (int bits = options.bits > 0 ? options.bits : kLeastBits; bits <= kMostBits; ++bits) {
    cluster.size = int64_t{1} << bits;
    const Codebook codebook = cluster_weights(flat, importance, cluster);
    found = {.weights = shared_values(codebook), .bits = bits, .size = codebook.centroids.size()};
    found.sqnr = sqnr_db(flat, found.weights);
    if (options.bits > 0 || found.sqnr >= options.sqnr_db) break;
  }
  return found;
}

std::vector<LinearView> taken_views(const Graph& graph, PassContext& context) {
  std::vector<LinearView> views;
  std::set<ValueId> seen;
  for (const LinearView& view : linear_views(graph)) {
    const std::string label = graph.label(view.node);
    const Constant* weight = fixed_constant(graph, view.weight);
    if (!weight || (weight->dtype != DType::float32 && weight->dtype != DType::float16 && weight->dtype != DType::bfloat16)) {
      context.report.skip(label, "its weights are no constant floats");
    } else if (!is_selected(graph, view.node, context.keep, context.only)) {
      context.report.skip(label, "it is kept");
    } else if (weight->storage.numel() < kLeastWeights) {
      context.report.skip(label, cat("it has fewer than ", kLeastWeights, " weights"));
    } else if (seen.insert(view.weight).second) {
      views.push_back(view);
    }
  }
  return views;
}

std::optional<Statistics> statistics_of(const Graph& graph, const std::vector<LinearView>& views, PassContext& context) {
  if (!context.calibration || views.empty() || !unsupported_nodes(graph).empty()) return std::nullopt;
  Wanted wanted;
  wanted.seed = context.seed;
  for (const LinearView& view : views) {
    if (has_columns(graph, view)) wanted.grams.push_back(view);
  }
  return collect(Executor(graph), graph, *context.calibration, wanted, context.progress);
}

}  // namespace

void share_weights(Graph& graph, const ShareWeightsOptions& options, PassContext& context) {
  const std::vector<LinearView> views = taken_views(graph, context);
  const std::optional<Statistics> statistics = statistics_of(graph, views, context);
  context.progress.start("share", static_cast<int64_t>(views.size()));
  for (const LinearView& view : views) {
    const Constant weight = *graph.constant(view.weight);
    const Tensor flat = weight.storage.to(at::kDouble).reshape({-1}).contiguous();
    const auto num_values = std::get<0>(at::_unique(flat)).numel();
    const std::string label = graph.label(view.node);
    context.progress.advance();
    if (num_values <= (int64_t{1} << (options.bits > 0 ? options.bits : kMostBits))) {
      context.report.skip(label, "it has that few different weights already");
      continue;
    }
    const Tensor importance = importance_of(view, weight.storage, statistics && has_columns(graph, view) ? &*statistics : nullptr);
    const Shared shared = share(flat, importance, options);
    Constant edited = weight;
    edited.storage = shared.weights.to(weight.storage.scalar_type()).reshape(weight.storage.sizes());
    graph.set_constant(view.weight, std::move(edited));
    context.report.change(label, {{"values", shared.size}, {"bits", shared.bits}, {"sqnr_db", shared.sqnr}});
  }
}

}  // namespace niwaki
