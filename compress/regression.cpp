#include "compress/regression.h"

#include "compress/error.h"
#include "compress/parallel.h"

namespace niwaki {
namespace {

using Pairs = std::map<NodeId, RegressionPair>;
constexpr int64_t kHeldOut = 4;

Regression moments(const Tensor& x, const Tensor& y) {
  const Tensor target = y.to(at::kDouble);
  return {at::bmm(x.transpose(1, 2), x).to(at::kDouble), at::bmm(y.transpose(1, 2), x).to(at::kDouble), x.sum(1, false, at::kDouble),
          target.sum(1), (target * target).sum(1), x.size(1)};
}

class PairCollector {
 public:
  PairCollector(const Graph& edited, const Graph& original, std::span<const FittedNode> nodes, const PositionLimit& positions)
      : edited_(edited), original_(original), nodes_(nodes), positions_(positions), edited_run_(edited, {.until = inputs()}), original_run_(original, {.until = outputs()}) {}

  Pairs one(const Dataset::Batch& batch) const {
    Pairs found;
    const RunValues x = edited_run_.run(batch.inputs), y = original_run_.run(batch.inputs);
    for (size_t i = 0; i < nodes_.size(); ++i) see(found[nodes_[i].edited.node], nodes_[i], x[i].tensor, y[i].tensor, batch);
    return found;
  }

 private:
  std::vector<ValueId> inputs() const {
    std::vector<ValueId> ids;
    for (const FittedNode& node : nodes_) ids.push_back(node.edited.input);
    return ids;
  }
  std::vector<ValueId> outputs() const {
    std::vector<ValueId> ids;
    for (const FittedNode& node : nodes_) ids.push_back(node.original.output);
    return ids;
  }
  void see(RegressionPair& pair, const FittedNode& node, const Tensor& x, const Tensor& y, const Dataset::Batch& batch) const {
    const int64_t axis = node.edited.kind == LinearKind::conv ? 1 : y.dim() - 1;
    const Tensor wanted = node.kept.defined() ? y.index_select(axis, node.kept) : y;
    // a filled-up batch repeats its last sample: those rows count nowhere
    const bool is_filled = x.size(0) > batch.count && x.size(0) == wanted.size(0);
    for (int64_t i = 0, rows = is_filled ? batch.count : x.size(0); i < rows;) {
      const bool is_held_out = (batch.first + i) % kHeldOut == kHeldOut - 1;
      // samples on one side of the split go together
      int64_t end = i + 1;
      while (end < rows && !is_held_out && (batch.first + end) % kHeldOut != kHeldOut - 1) ++end;
      const Tensor columns = read_columns(edited_, node.edited, x.narrow(0, i, end - i), positions_, batch.first + i);
      const Tensor targets = read_targets(edited_, node.edited, wanted.narrow(0, i, end - i), positions_, batch.first + i);
      (is_held_out ? pair.held_out : pair.fit).add(moments(columns, targets));
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
           target_squares + more.target_squares, count + more.count};
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
