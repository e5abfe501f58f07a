#include "passes/prune/sparse_gpt.h"

#include "compress/parallel.h"
#include "passes/error_feedback.h"

#include <algorithm>
#include <limits>
#include <numeric>

namespace niwaki {
namespace {

constexpr int64_t kRows = 256;               // of one task

void for_rows(int64_t rows, const std::function<void(int64_t, int64_t)>& work) {
  parallel_for((rows + kRows - 1) / kRows, [&](int64_t i) { work(i * kRows, std::min(rows, (i + 1) * kRows)); });
}

Tensor columns_of(const Tensor& x, const Tensor& live) { return live.numel() == x.size(1) ? x : x.index_select(1, live); }

/// w^2 / square of the diagonal of U: what the loss grows by when a weight goes now; -1 for those that are gone. double [rows, n].
Tensor step_scores(const Tensor& weights, const Tensor& gone, const Tensor& squares) {
  Tensor scores = at::empty(weights.sizes(), at::kDouble);
  for_rows(weights.size(0), [&](int64_t from, int64_t to) {
    Tensor part = scores.slice(0, from, to);
    part.copy_(weights.slice(0, from, to));
    part.square_().div_(squares).masked_fill_(gone.slice(0, from, to), -1.0);
  });
  return scores;
}

/// Chooses at each step which of its weights go.
class MaskChoice : public ColumnChoice {
 public:
  /// `zeros`: bool [rows, n], weights that are zero already. `quotas`: how many go at each step, in all rows or in each.
  MaskChoice(const Tensor& zeros, const Tensor& diagonal, std::vector<int64_t> quotas, bool is_by_row)
      : zeros_(zeros), squares_(diagonal.square()), quotas_(std::move(quotas)), is_by_row_(is_by_row), mask_(at::empty_like(zeros)) {}

  void start(int64_t begin, const Tensor& current) override {
    const int64_t quota = quotas_[step_++];
    begin_ = begin;
    width_ = current.size(1);
    const Tensor gone = zeros_.slice(1, begin, begin + width_);
    const Tensor scores = step_scores(current, gone, squares_.slice(0, begin, begin + width_));
    const Tensor mask = is_by_row_ ? lowest_mask_by_row(scores, quota * scores.size(0)) : lowest_mask(scores, quota);
    kept_ = mask & ~gone;
    mask_.slice(1, begin, begin + width_).copy_(kept_);
  }
  void choose(int64_t column, int64_t first_row, std::span<const double> now, std::span<double> chosen) const override {
    const bool* const keep = kept_.const_data_ptr<bool>() + first_row * width_ + column - begin_;
    for (size_t i = 0; i < now.size(); ++i) chosen[i] = keep[static_cast<int64_t>(i) * width_] ? now[i] : 0.0;
  }
  const Tensor& mask() const { return mask_; }

 private:
  const Tensor zeros_, squares_;
  std::vector<int64_t> quotas_;
  bool is_by_row_;
  size_t step_ = 0;
  int64_t begin_ = 0, width_ = 0;            // of this step
  Tensor kept_;                              // bool [rows, width]
  Tensor mask_;
};

/// The first live column of each step, and how many weights go there.
struct Schedule {
  std::vector<int64_t> steps, quotas;
};

/// Steps of equal width, each with its share of those weights that score lowest before anything changes.
Schedule even_schedule(const Tensor& scores, int64_t num_zeros, int64_t width) {
  Schedule schedule{even_steps(scores.size(1), width), {}};
  const Tensor kept = lowest_mask(scores, num_zeros);
  schedule.quotas.resize(schedule.steps.size());
  parallel_for(static_cast<int64_t>(schedule.steps.size()), [&](int64_t i) {
    const int64_t begin = schedule.steps[static_cast<size_t>(i)], end = std::min(begin + width, scores.size(1));
    const Tensor part = kept.slice(1, begin, end);
    schedule.quotas[static_cast<size_t>(i)] = part.numel() - part.sum().item<int64_t>();
  });
  return schedule;
}

/// One step per group; dead columns of a group use up its zeros first.
Schedule group_schedule(const Tensor& live, int64_t size, const std::vector<int64_t>& starts, int64_t num_kept) {
  const int64_t* const places = live.const_data_ptr<int64_t>();
  Schedule schedule;
  int64_t first = 0;
  for (size_t group = 0; group < starts.size(); ++group) {
    const int64_t begin = starts[group], end = group + 1 < starts.size() ? starts[group + 1] : size;
    int64_t last = first;
    while (last < live.numel() && places[last] < end) ++last;
    if (last == first) continue;
    const int64_t num_dead = end - begin - (last - first);
    schedule.steps.push_back(first);
    schedule.quotas.push_back(std::clamp<int64_t>(end - begin - num_kept - num_dead, 0, last - first));
    first = last;
  }
  return schedule;
}

/// `groups` for columns that stand in the order of the groups already.
ColumnGroups in_place(const ColumnGroups& groups) {
  ColumnGroups placed = groups;
  std::iota(placed.order.begin(), placed.order.end(), int64_t{0});
  return placed;
}

/// What goes of the columns that the data never excites, as a mask over all columns (live ones all true).
Tensor dead_mask(const Tensor& weights, const Tensor& zeros, const Tensor& live, int64_t num_zeros, const SparseGptOptions& options) {
  if (live.numel() == weights.size(1)) return at::ones_like(zeros);
  Tensor scores = at::where(zeros, -1.0, weights.abs());
  scores.index_fill_(1, live, std::numeric_limits<double>::infinity());
  const int64_t num_dead = weights.size(0) * (weights.size(1) - live.numel());
  Tensor mask = options.groups ? pattern_mask(scores, in_place(*options.groups), options.num_kept)
                               : lowest_mask(scores, std::min(num_zeros, num_dead));
  mask.index_fill_(1, live, true);
  return mask & (~zeros | scores.isinf());
}

Schedule schedule_of(const Tensor& now, const Tensor& zeros, const Tensor& live, const Tensor& diagonal, int64_t size, int64_t num_zeros,
                     const SparseGptOptions& options) {
  if (options.groups) return group_schedule(live, size, options.groups->starts, options.num_kept);
  return even_schedule(step_scores(now, zeros, diagonal.square()), num_zeros, options.step);
}

/// The weights with the live columns replaced; +0.0 where the mask is false.
Tensor joined(const Tensor& before, const Tensor& live, const Tensor& found, const Tensor& mask) {
  Tensor weights = at::empty_like(before);
  const bool is_whole = live.numel() == before.size(1);
  for_rows(before.size(0), [&](int64_t from, int64_t to) {
    Tensor part = weights.slice(0, from, to);
    part.copy_(is_whole ? found.slice(0, from, to) : before.slice(0, from, to));
    if (!is_whole) part.index_copy_(1, live, found.slice(0, from, to).to(at::kDouble));
    part.masked_fill_(~mask.slice(0, from, to), 0.0);
  });
  return weights;
}

/// sparse_gpt for columns in the order of the loop.
SparseWeights prune_in_order(const Tensor& before, const Tensor& gram, int64_t num_zeros, const SparseGptOptions& options) {
  const DampedGram damped = factor_damped(gram, options.damp);
  const Tensor all_zeros = options.zeros.defined() ? options.zeros : before == 0;
  SparseWeights result{before, dead_mask(before, all_zeros, damped.live, num_zeros, options), 0, damped.record};
  if (damped.record.num_live == 0) {
    result.weights = at::where(result.mask, before, 0.0);
    return result;
  }
  const Tensor upper = inverse_upper(damped.upper), now = columns_of(before, damped.live), zeros = columns_of(all_zeros, damped.live);
  const int64_t num_dead_zeros = result.mask.numel() - result.mask.sum().item<int64_t>();
  const Schedule schedule = schedule_of(now, zeros, damped.live, upper.diagonal(), before.size(1), num_zeros - num_dead_zeros, options);
  MaskChoice choice(zeros, upper.diagonal(), schedule.quotas, options.groups != nullptr);
  const ErrorFeedback fed = feed_back_errors(now, upper, schedule.steps, choice, options.is_float);
  result.loss = fed.loss;
  if (damped.live.numel() == before.size(1)) result.mask = choice.mask();
  else result.mask.index_copy_(1, damped.live, choice.mask());
  result.weights = joined(before, damped.live, fed.weights, result.mask);
  return result;
}

}  // namespace

SparseWeights sparse_gpt(const Tensor& weights, const Tensor& gram, int64_t num_zeros, const SparseGptOptions& options) {
  const Tensor before = weights.to(at::kDouble).contiguous();
  if (options.groups == nullptr) return prune_in_order(before, gram, num_zeros, options);
  const Tensor order = at::tensor(options.groups->order, at::kLong), back = order.argsort();
  SparseGptOptions ordered = options;
  if (options.zeros.defined()) ordered.zeros = options.zeros.index_select(1, order);
  SparseWeights result = prune_in_order(before.index_select(1, order).contiguous(), gram.index_select(0, order).index_select(1, order),
                                        num_zeros, ordered);
  result.weights = result.weights.index_select(1, back);
  result.mask = result.mask.index_select(1, back);
  return result;
}

Tensor obs_scores(const Tensor& weights, const Tensor& gram, double damp) {
  const Tensor w = weights.to(at::kDouble);
  const DampedGram damped = factor_damped(gram, damp);
  Tensor scores = -1 / w.abs().clamp_min(1e-300);
  if (damped.record.num_live == 0) return scores;
  const Tensor inverse = inverse_upper(damped.upper).square().sum(0);         // diagonal of U^T U
  scores.index_copy_(1, damped.live, w.index_select(1, damped.live).square() / inverse);
  return scores;
}

}  // namespace niwaki
