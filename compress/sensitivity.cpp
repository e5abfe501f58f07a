#include "compress/sensitivity.h"

#include "compress/divergence.h"
#include "compress/error.h"
#include "compress/executor.h"
#include "compress/graph_edit.h"
#include "compress/random.h"

namespace niwaki {
namespace {

/// log p(drawn class), summed; scores are logits, logarithms of shares, or shares.
Tensor class_likelihood(const Tensor& scores, Generator& generator) {
  const Tensor rows = scores.reshape({-1, scores.size(-1)}).to(at::kDouble);
  const Tensor logs = class_logs(rows);
  const Tensor shares = logs.detach().exp().contiguous();
  Tensor drawn = at::empty({rows.size(0)}, at::kLong);
  for (int64_t row = 0; row < rows.size(0); ++row) {
    const double* share = shares.const_data_ptr<double>() + row * shares.size(1);
    double left = generator.uniform();
    int64_t index = 0;
    while (index + 1 < shares.size(1) && left >= share[index]) left -= share[index++];
    drawn.mutable_data_ptr<int64_t>()[row] = index;
  }
  return logs.gather(1, drawn.unsqueeze(1)).sum();
}

/// A random projection of y, relative to its size: its squared gradient is that of the relative squared error.
Tensor projection(const Tensor& y, Generator& generator) {
  const Tensor x = y.to(at::kDouble);
  Tensor signs = at::empty(x.sizes(), at::kDouble);
  for (int64_t i = 0; i < signs.numel(); ++i) signs.mutable_data_ptr<double>()[i] = generator.next() & 1 ? 1 : -1;
  const double energy = (x.detach() * x.detach()).sum().item<double>() / static_cast<double>(std::max<int64_t>(x.size(0), 1));
  return (x * signs).sum() / std::sqrt(std::max(energy, 1e-30));
}

struct Seen {
  Tensor output, gradient;
};

int64_t channel_axis_of(const LinearView& view, const Tensor& output) {
  const bool is_conv = view.kind == LinearKind::conv || view.kind == LinearKind::conv_transpose;
  return is_conv ? 1 : view.weight_index == 0 ? output.dim() - 2 : output.dim() - 1;
}

Tensor by_channel(const Tensor& numbers, int64_t axis) { return numbers.movedim(axis, 0).reshape({numbers.size(axis), -1}).sum(1); }

/// Sum over samples of the squared sum over positions, [channels].
Tensor squared_sums(const Tensor& gradient, int64_t axis, int64_t samples) {
  const Tensor flat = gradient.movedim(axis, -1);                                   // [N, ..., channels]
  if (flat.size(0) % samples != 0 || flat.dim() < 2) return by_channel(gradient * gradient, axis);
  return at::square(flat.reshape({flat.size(0), -1, flat.size(-1)}).sum(1)).sum(0);
}

}  // namespace

double OutputSensitivity::coherence() const {
  const double all = gradient.sum().item<double>();
  return all > 0 ? coherent.sum().item<double>() / all : 1;
}

std::map<NodeId, OutputSensitivity> output_sensitivity(const Graph& graph, std::span<const LinearView> views, const Dataset& data,
                                                       int64_t samples, uint64_t seed, Progress& progress) {
  ExecutorOptions options;
  std::map<ValueId, NodeId> watched;
  for (const LinearView& view : views) {
    options.trainable.insert(view.weight);
    watched[view.output] = view.node;
  }
  const bool has_tokens = reads_tokens(graph);
  const Executor executor(graph, options);
  std::map<NodeId, OutputSensitivity> found;
  const Dataset few = data.head(std::min(samples, data.num_samples()));
  int64_t total = 0;
  for (int64_t i = 0; i < few.num_batches(); ++i) {
    progress.advance(0);
    const Dataset::Batch batch = few.batch(i);
    std::map<ValueId, Tensor> outputs;
    const RunValues made = executor.run(batch.inputs, [&](ValueId id, const Tensor& numbers) {
      if (!watched.contains(id) || !numbers.requires_grad()) return;
      numbers.retain_grad();
      outputs[id] = numbers;
    });
    Tensor likelihood;
    for (size_t k = 0; k < made.size(); ++k) {
      const Tensor& y = made[k].tensor;
      if (!y.defined() || !y.requires_grad() || y.dim() == 0) continue;
      Generator generator(seed, cat("sensitivity ", k, " ", batch.first));
      const Tensor one = is_class_like(y, has_tokens) ? class_likelihood(y, generator) : projection(y, generator);
      likelihood = likelihood.defined() ? likelihood + one : one;
    }
    if (!likelihood.defined()) return {};
    likelihood.backward();
    total += batch.count;
    for (const auto& [id, output] : outputs) {
      if (!output.grad().defined()) continue;
      const NodeId node = watched.at(id);
      const auto view = std::find_if(views.begin(), views.end(), [&](const LinearView& one) { return one.node == node; });
      const int64_t axis = channel_axis_of(*view, output);
      const Tensor y = output.detach().to(at::kDouble), gradient = output.grad().to(at::kDouble);
      OutputSensitivity& known = found[node];
      const Tensor sums = squared_sums(gradient, axis, batch.count);
      known.coherent = known.coherent.defined() ? known.coherent + sums : sums;
      const Tensor squares = by_channel(gradient * gradient, axis), products = by_channel(at::square(gradient * y), axis);
      known.gradient = known.gradient.defined() ? known.gradient + squares : squares;
      known.taylor = known.taylor.defined() ? known.taylor + products : products;
    }
  }
  for (auto& [node, one] : found) {
    one.gradient = one.gradient / static_cast<double>(total);
    one.coherent = one.coherent / static_cast<double>(total);
    one.taylor = one.taylor / static_cast<double>(total);
  }
  return found;
}

}  // namespace niwaki
