#include "compress/regression.h"

#include "compress/error.h"
#include "compress/parallel.h"

namespace niwaki {
namespace {

using Pairs = std::map<NodeId, RegressionPair>;
constexpr int64_t kHeldOut = 4;

Regression moments(const Tensor& x, const Tensor& y, int64_t samples) {
  const Tensor target = y.to(at::kDouble), x_means = sample_means(x, samples), y_means = sample_means(target, samples);
  const auto product = [](const Tensor& a, const Tensor& b) { return at::bmm(a.transpose(1, 2).to(b.scalar_type()), b).to(at::kDouble); };
  return {product(x, x), product(y, x), x.sum(1, false, at::kDouble), target.sum(1), (target * target).sum(1),
          product(x_means, x_means), product(y_means.to(at::kFloat), x_means), (y_means * y_means).sum(1), x.size(1)};
}

class PairCollector {
 public:
  PairCollector(const Graph& edited, const Graph& original, std::span<const FittedNode> nodes, const PositionLimit& positions)
      : edited_(edited), original_(original), nodes_(nodes), positions_(positions), edited_run_(edited, {.until = inputs()}), original_run_(original, {.until = outputs()}) {}

  Pairs one(const Dataset::Batch& batch) const {
    Pairs found;
    const RunValues x = edited_run_.run(batch.inputs), y = original_run_.run(batch.inputs);
    for (size_t i = 0, next = nodes_.size(); i < nodes_.size(); ++i) {
      const FittedNode& node = nodes_[i];
      const int64_t axis = node.edited.kind == LinearKind::conv ? 1 : y[i].tensor.dim() - 1;
      Tensor wanted = node.kept.defined() ? y[i].tensor.index_select(axis, node.kept) : y[i].tensor;
      if (node.beside != ValueId::absent) wanted = wanted - x[next++].tensor;
      see(found[node.edited.node], node, x[i].tensor, wanted, batch);
    }
    return found;
  }

 private:
  std::vector<ValueId> inputs() const {
    std::vector<ValueId> ids;
    for (const FittedNode& node : nodes_) ids.push_back(node.edited.input);
    for (const FittedNode& node : nodes_) {
      if (node.beside != ValueId::absent) ids.push_back(node.beside);
    }
    return ids;
  }
  std::vector<ValueId> outputs() const {
    std::vector<ValueId> ids;
    for (const FittedNode& node : nodes_) ids.push_back(node.sum != ValueId::absent ? node.sum : node.original.output);
    return ids;
  }
  void see(RegressionPair& pair, const FittedNode& node, const Tensor& x, const Tensor& wanted, const Dataset::Batch& batch) const {
    // a filled-up batch repeats its last sample: those rows count nowhere
    const bool is_filled = x.size(0) > batch.count && x.size(0) == wanted.size(0);
    for (int64_t i = 0, rows = is_filled ? batch.count : x.size(0); i < rows;) {
      const bool is_held_out = (batch.first + i) % kHeldOut == kHeldOut - 1;
      // samples on one side of the split go together
      int64_t end = i + 1;
      while (end < rows && !is_held_out && (batch.first + end) % kHeldOut != kHeldOut - 1) ++end;
      const Tensor columns = read_columns(edited_, node.edited, x.narrow(0, i, end - i), positions_, batch.first + i);
      const Tensor targets = read_targets(edited_, node.edited, wanted.narrow(0, i, end - i), positions_, batch.first + i);
      (is_held_out ? pair.held_out : pair.fit).add(moments(columns, targets, end - i));
      i = end;
    }
  }

  const Graph &edited_, &original_;
  std::span<const FittedNode> nodes_;
  PositionLimit positions_;
  Executor edited_run_, original_run_;
};

}  // namespace

void Regression::add(const Regression& more) {
  if (more.count == 0) return;
  if (count == 0) {
    *this = more;
    return;
  }
  *this = {products + more.products, cross + more.cross, input_sums + more.input_sums, target_sums + more.target_sums,
           target_squares + more.target_squares, products_of_means + more.products_of_means, cross_of_means + more.cross_of_means,
           squares_of_means + more.squares_of_means, count + more.count};
}

std::map<NodeId, RegressionPair> collect_regressions(const Graph& edited, const Graph& original, std::span<const FittedNode> nodes,
                                                     const Dataset& data, const PositionLimit& positions, Progress& progress) {
  const PairCollector collector(edited, original, nodes, positions);
  const int64_t group = std::max<int64_t>(1, 32 / data.batch_size()), batches = data.num_batches(), groups = (batches + group - 1) / group;
  std::vector<Pairs> parts(static_cast<size_t>(groups));
  Pairs all;
  const auto join = [](Pairs& known, const Pairs& more) {
    for (const auto& [id, pair] : more) {
      known[id].fit.add(pair.fit);
      known[id].held_out.add(pair.held_out);
    }
  };
  ordered_for(
      groups,
      [&](int64_t i) {
        for (int64_t batch = i * group; batch < std::min(batches, (i + 1) * group); ++batch) join(parts[static_cast<size_t>(i)], collector.one(data.batch(batch)));
      },
      [&](int64_t i) {
        join(all, parts[static_cast<size_t>(i)]);
        parts[static_cast<size_t>(i)] = {};
        progress.advance(0);
      });
  return all;
}

}  // namespace niwaki
