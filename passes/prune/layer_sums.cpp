#include "passes/prune/layer_sums.h"

#include "compress/columns.h"
#include "compress/error.h"
#include "compress/parallel.h"

#include <algorithm>
#include <set>

namespace niwaki {
namespace {

constexpr int64_t kPositions = 64;           // of a Conv, per sample
constexpr int64_t kSamples = 64;             // of one task: joining costs little beside running

using Sums = std::map<NodeId, LayerSums>;
using Observed = std::map<ValueId, Tensor>;

using Values = std::set<ValueId>;

Values inputs_of(const std::vector<LinearView>& views, const SumAims& aims) {
  Values found;
  for (const LinearView& view : views) found.insert(view.input);
  for (const auto& [node, aim] : aims) found.insert(aim.beside);
  return found;
}

Values outputs_of(const std::vector<LinearView>& views, const SumAims& aims) {
  Values found;
  for (const LinearView& view : views) found.insert(aims.contains(view.node) ? aims.at(view.node).sum : view.output);
  return found;
}

Executor until(const Graph& graph, const Values& values) { return Executor(graph, {.until = {values.begin(), values.end()}}); }

/// The values of one batch; a filled-up batch repeats its last sample, and those rows count nowhere.
Observed observe(const Executor& executor, const Dataset::Batch& batch, const Values& values) {
  Observed found;
  const auto is_tensor = !batch.inputs.empty() && batch.inputs[0].tensor.defined() && batch.inputs[0].tensor.dim() > 0;
  const int64_t rows = is_tensor ? batch.inputs[0].tensor.size(0) : 0;
  executor.run(batch.inputs, [&](ValueId id, const Tensor& numbers) {
    if (!values.contains(id)) return;
    const bool is_filled = rows > batch.count && numbers.dim() > 0 && numbers.size(0) == rows;
    found[id] = is_filled ? numbers.narrow(0, 0, batch.count) : numbers;
  });
  return found;
}

/// What a node should make; undefined where the run did not come by.
Tensor wanted_of(const LinearView& view, const SumAims& aims, const Observed& inputs, const Observed& outputs) {
  const auto aim = aims.find(view.node);
  const auto made = outputs.find(aim == aims.end() ? view.output : aim->second.sum);
  if (made == outputs.end() || aim == aims.end()) return made == outputs.end() ? Tensor() : made->second;
  const auto beside = inputs.find(aim->second.beside);
  return beside == inputs.end() ? Tensor() : made->second - beside->second;
}

Tensor in_double(const Tensor& a, const Tensor& b) { return at::bmm(a.transpose(1, 2), b).to(at::kDouble); }

Sums sums_of(const Graph& graph, const std::vector<LinearView>& views, const SumAims& aims, const Observed& inputs, const Observed& outputs, uint64_t seed, int64_t first) {
  Sums found;
  std::map<ValueId, std::pair<Tensor, NodeId>> known;                // products of nodes that read whole rows of one value
  for (const LinearView& view : views) {
    const auto x = inputs.find(view.input);
    const Tensor wanted = wanted_of(view, aims, inputs, outputs);
    if (x == inputs.end() || !wanted.defined() || x->second.numel() == 0) continue;
    LayerSums& sums = found[view.node];
    const auto shared = view.kind == LinearKind::conv ? known.end() : known.find(view.input);
    const Tensor columns = shared != known.end() ? shared->second.first : read_columns(graph, view, x->second, {kPositions, seed}, first);
    const Tensor targets = read_targets(graph, view, wanted, {kPositions, seed}, first);
    if (shared != known.end()) {
      sums = found.at(shared->second.second);
    } else {
      sums.products = in_double(columns, columns);
      sums.sums = columns.sum(1, /*keepdim=*/false, at::kDouble);
      sums.count = columns.size(1);
      if (view.kind != LinearKind::conv) known[view.input] = {columns, view.node};
    }
    sums.targets = in_double(targets, columns);
    sums.target_sums = targets.sum(1, /*keepdim=*/false, at::kDouble);
  }
  return found;
}

}  // namespace

void LayerSums::add(const LayerSums& more) {
  if (count == 0) {
    *this = more;
    return;
  }
  *this = {products + more.products, sums + more.sums, targets + more.targets, target_sums + more.target_sums, count + more.count};
}

std::map<NodeId, LayerSums> collect_layer_sums(const Graph& original, const Graph& edited, const std::vector<LinearView>& views,
                                               const Dataset& data, uint64_t seed, Progress& progress, const SumAims& aims) {
  const Values made = outputs_of(views, aims), read = inputs_of(views, aims);
  const Executor before = until(original, made), now = until(edited, read);
  const int64_t batches = data.num_batches(), each = std::max<int64_t>(1, kSamples / data.batch_size()), tasks = (batches + each - 1) / each;
  std::vector<Sums> parts(static_cast<size_t>(tasks));
  Sums all;
  ordered_for(
      tasks,
      [&](int64_t task) {
        for (int64_t i = task * each; i < std::min(batches, (task + 1) * each); ++i) {
          const Dataset::Batch batch = data.batch(i);
          if (batch.count == 0) continue;
          const Observed outputs = observe(before, batch, made);
          const Observed inputs = observe(now, batch, read);
          for (const auto& [node, sums] : sums_of(edited, views, aims, inputs, outputs, seed, batch.first)) parts[static_cast<size_t>(task)][node].add(sums);
        }
      },
      [&](int64_t task) {
        for (const auto& [node, sums] : parts[static_cast<size_t>(task)]) all[node].add(sums);
        parts[static_cast<size_t>(task)].clear();
        progress.advance(0);
      });
  for (const LinearView& view : views) {
    const auto found = all.find(view.node);
    if (found == all.end() || (at::isfinite(found->second.products).all().item<bool>() && at::isfinite(found->second.targets).all().item<bool>())) continue;
    throw ModelError("E1710", cat("what node '", printable(edited.label(view.node)), "' reads or makes became NaN or infinite"));
  }
  return all;
}

}  // namespace niwaki
