#include "compress/divergence.h"

#include "compress/executor.h"
#include "compress/parallel.h"

#include <cmath>

namespace niwaki {
namespace {

constexpr int64_t kMostBytes = int64_t{256} << 20;

/// A filled-up batch repeats its last sample: those rows count nowhere.
Tensor counted(const Tensor& y, const Dataset::Batch& batch, int64_t rows) {
  return y.dim() > 0 && y.size(0) == rows && rows > batch.count ? y.narrow(0, 0, batch.count) : y;
}

int64_t rows_of(const Dataset::Batch& batch) {
  const Tensor& first = batch.inputs.front().tensor;
  return first.defined() && first.dim() > 0 ? first.size(0) : batch.count;
}

bool is_judged(const Tensor& y) { return y.defined() && at::isFloatingType(y.scalar_type()) && y.numel() > 0; }

Dataset first_samples(const Graph& graph, const Dataset& data, int64_t samples) {
  const RunValues one = Executor(graph).run(data.head(1).batch(0).inputs);
  int64_t bytes = 1;
  for (const RunValue& y : one) bytes += y.tensor.defined() ? static_cast<int64_t>(y.tensor.nbytes()) : 0;
  return data.head(std::min({samples, data.num_samples(), std::max<int64_t>(8, kMostBytes / bytes)}));
}

/// Sums over samples of what an output adds: divergences, or squares of errors and of the answers.
struct Sums {
  double divergence = 0, error = 0, energy = 0;
};

Sums compare(const Tensor& wanted, const Tensor& got, bool is_scores) {
  Sums sums;
  if (!is_scores) {
    const Tensor y = wanted.to(at::kDouble);
    sums.error = at::square(got.to(at::kDouble) - y).sum().item<double>();
    sums.energy = at::square(y).sum().item<double>();
    return sums;
  }
  const Tensor p = class_logs(wanted.reshape({-1, wanted.size(-1)})), q = class_logs(got.reshape({-1, got.size(-1)}));
  const double per_sample = static_cast<double>(p.size(0)) / static_cast<double>(std::max<int64_t>(wanted.size(0), 1));
  sums.divergence = (p.exp() * (p - q)).sum().item<double>() / per_sample;
  return sums;
}

}  // namespace

bool reads_tokens(const Graph& graph) {
  const auto& inputs = graph.main().inputs;
  return std::any_of(inputs.begin(), inputs.end(), [&](ValueId id) { return !graph.constant(id) && graph.value(id).dtype == DType::int64; });
}

bool is_class_like(const Tensor& y, bool reads_tokens) {
  return at::isFloatingType(y.scalar_type()) && y.dim() >= 2 && y.size(-1) > 1 && (y.dim() == 2 || (y.dim() == 3 && reads_tokens));
}

Tensor class_logs(const Tensor& scores) {
  const Tensor rows = scores.to(at::kDouble), plain = rows.detach();
  const bool are_shares = plain.min().item<double>() >= 0 && (plain.sum(1) - 1).abs().max().item<double>() < 1e-3;
  return are_shares ? (rows + 1e-9).log() : rows.log_softmax(1);
}

Answers::Answers(const Graph& graph, const Dataset& data, int64_t samples, Progress& progress)
    : data_(first_samples(graph, data, samples)), reads_tokens_(niwaki::reads_tokens(graph)), wanted_(static_cast<size_t>(data_.num_batches())) {
  const Executor executor(graph);
  ordered_for(
      data_.num_batches(), [&](int64_t i) { wanted_[static_cast<size_t>(i)] = executor.run(data_.batch(i).inputs); }, [&](int64_t) { progress.advance(0); });
}

double Answers::divergence(const Graph& edited, Progress& progress) const {
  const Executor executor(edited);
  const size_t outputs = wanted_.empty() ? 0 : wanted_.front().size();
  std::vector<std::vector<Sums>> parts(wanted_.size());
  std::vector<Sums> all(outputs);
  const auto one = [&](int64_t index) {
    const Dataset::Batch batch = data_.batch(index);
    const RunValues got = executor.run(batch.inputs);
    auto& sums = parts[static_cast<size_t>(index)];
    sums.resize(outputs);
    for (size_t k = 0; k < outputs; ++k) {
      const Tensor& wanted = wanted_[static_cast<size_t>(index)][k].tensor;
      if (!is_judged(wanted)) continue;
      const int64_t rows = rows_of(batch);
      sums[k] = got[k].tensor.sizes() == wanted.sizes() ? compare(counted(wanted, batch, rows), counted(got[k].tensor, batch, rows), is_class_like(wanted, reads_tokens_))
                                                        : Sums{INFINITY, 0, 0};
    }
  };
  const auto join = [&](int64_t index) {
    const auto& sums = parts[static_cast<size_t>(index)];
    for (size_t k = 0; k < outputs; ++k) all[k] = {all[k].divergence + sums[k].divergence, all[k].error + sums[k].error, all[k].energy + sums[k].energy};
    progress.advance(0);
  };
  ordered_for(data_.num_batches(), one, join);
  double total = 0;
  for (const Sums& sums : all) total += sums.divergence / static_cast<double>(std::max<int64_t>(num_samples(), 1)) + sums.error / std::max(sums.energy, 1e-30);
  return std::isfinite(total) ? total : INFINITY;
}

}  // namespace niwaki
