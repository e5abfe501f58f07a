#include "passes/prune/refit.h"

#include "compress/parallel.h"

#include <algorithm>
#include <map>
#include <string>
#include <vector>

namespace niwaki {
namespace {

constexpr int64_t kBlock = 2048;             // columns that one factor may span
constexpr int64_t kRows = 8;                 // sets of rows of one task

/// Rows whose masks are equal in a block of columns: they share a factor.
struct RowSet {
  std::vector<int64_t> rows;
};

std::vector<RowSet> row_sets(const Tensor& mask) {
  const Tensor plain = mask.contiguous();
  const auto size = static_cast<size_t>(plain.size(1));
  const auto* const bytes = static_cast<const char*>(plain.const_data_ptr());
  std::map<std::string, size_t> place;
  std::vector<RowSet> sets;
  for (int64_t row = 0; row < plain.size(0); ++row) {
    const auto [found, is_new] = place.emplace(std::string(bytes + static_cast<size_t>(row) * size, size), sets.size());
    if (is_new) sets.emplace_back();
    sets[found->second].rows.push_back(row);
  }
  return sets;
}

/// What must be taken from the kept weights of these rows so that `gradient` [rows, |kept|], dW H there, becomes 0.
Tensor correction(const Tensor& gram, const Tensor& kept, const Tensor& gradient) {
  const Tensor part = gram.index_select(0, kept).index_select(1, kept);
  const auto [lower, failed] = at::linalg_cholesky_ex(part);
  if (failed.item<int>() != 0) return std::get<0>(at::linalg_lstsq(part, gradient.t().contiguous())).t();
  return at::cholesky_solve(gradient.t(), lower).t();
}

/// Makes the columns [begin, end) of `change` [rows, n], dW, the best ones for all others as they are.
void fit_block(Tensor& change, const Tensor& mask, const Tensor& gram, int64_t begin, int64_t end) {
  const Tensor corner = gram.slice(0, begin, end).slice(1, begin, end);
  const Tensor kept_flags = mask.slice(1, begin, end);
  const Tensor sides = gram.slice(1, begin, end).contiguous();       // [n, width]
  const std::vector<RowSet> sets = row_sets(kept_flags);
  const auto count = static_cast<int64_t>(sets.size());
  Tensor gradient = at::empty({change.size(0), end - begin}, at::kDouble);
  parallel_for((change.size(0) + 63) / 64, [&](int64_t chunk) {
    const int64_t from = chunk * 64, to = std::min(change.size(0), from + 64);
    gradient.slice(0, from, to).copy_(at::mm(change.slice(0, from, to), sides));
  });
  parallel_for((count + kRows - 1) / kRows, [&](int64_t chunk) {
    for (int64_t i = chunk * kRows; i < std::min(count, (chunk + 1) * kRows); ++i) {
      const Tensor rows = at::tensor(sets[static_cast<size_t>(i)].rows, at::kLong);
      const Tensor kept = at::nonzero(kept_flags[rows.const_data_ptr<int64_t>()[0]]).reshape({-1});
      if (kept.numel() == 0) continue;
      const Tensor fix = correction(corner, kept, gradient.index_select(0, rows).index_select(1, kept));
      for (int64_t k = 0; k < rows.numel(); ++k) {                   // rows of one set belong to this task alone
        Tensor line = change[rows.const_data_ptr<int64_t>()[k]].slice(0, begin, end);
        line.index_add_(0, kept, fix[k], -1);
      }
    }
  });
}

}  // namespace

Tensor refit(const Tensor& wanted, const Tensor& start, const Tensor& mask, const Tensor& gram, double damp, SolveRecord* record) {
  const DampedGram damped = factor_damped(gram, damp);
  if (record != nullptr) *record = damped.record;
  const Tensor target = wanted.to(at::kDouble);
  Tensor result = at::where(mask, start.to(at::kDouble), 0.0);
  if (damped.record.num_live > 0) {
    const int64_t size = damped.live.numel(), num_sweeps = size > kBlock ? 2 : 1;
    Tensor change = (result - target).index_select(1, damped.live).contiguous();
    const Tensor kept = mask.index_select(1, damped.live).contiguous();
    for (int64_t sweep = 0; sweep < num_sweeps; ++sweep) {
      for (int64_t begin = 0; begin < size; begin += kBlock) fit_block(change, kept, damped.gram, begin, std::min(size, begin + kBlock));
    }
    result.index_copy_(1, damped.live, target.index_select(1, damped.live) + change);
  }
  return at::where(mask, result, 0.0);
}

}  // namespace niwaki
