#include "passes/prune/mask.h"

#include "compress/parallel.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>

namespace niwaki {
namespace {

/// Writes 0 at the `count` lowest scores, 1 elsewhere.
void keep_highest(std::span<const double> scores, int64_t count, std::span<bool> keep) {
  std::fill(keep.begin(), keep.end(), count < static_cast<int64_t>(scores.size()));
  if (count <= 0 || count >= static_cast<int64_t>(scores.size())) return;
  std::vector<double> sorted(scores.begin(), scores.end());
  std::nth_element(sorted.begin(), sorted.begin() + (count - 1), sorted.end());
  const double last = sorted[static_cast<size_t>(count - 1)];
  int64_t ties = count - std::count_if(scores.begin(), scores.end(), [&](double score) { return score < last; });
  for (size_t i = 0; i < scores.size(); ++i) {
    if (scores[i] < last) keep[i] = false;
    else if (scores[i] == last && ties > 0) {
      keep[i] = false;
      --ties;
    }
  }
}

std::span<const double> numbers(const Tensor& x) { return {x.const_data_ptr<double>(), static_cast<size_t>(x.numel())}; }
std::span<bool> flags(Tensor& x) { return {x.mutable_data_ptr<bool>(), static_cast<size_t>(x.numel())}; }
Tensor plain(const Tensor& x) { return x.to(at::kDouble).contiguous(); }

}  // namespace

int64_t zero_count(int64_t size, double sparsity) { return std::llround(static_cast<double>(size) * sparsity); }

Tensor lowest_mask(const Tensor& scores, int64_t num_zeros) {
  const Tensor given = plain(scores);
  Tensor mask = at::empty(given.sizes(), at::kBool);
  keep_highest(numbers(given), num_zeros, flags(mask));
  return mask;
}

Tensor lowest_mask_by_row(const Tensor& scores, int64_t num_zeros) {
  const Tensor given = plain(scores);
  Tensor mask = at::empty(given.sizes(), at::kBool);
  const int64_t rows = given.size(0), size = given.size(1);
  parallel_for((rows + 63) / 64, [&](int64_t chunk) {
    for (int64_t row = chunk * 64; row < std::min(rows, chunk * 64 + 64); ++row) {
      const auto first = static_cast<size_t>(row * size), width = static_cast<size_t>(size);
      const int64_t count = num_zeros * (row + 1) / rows - num_zeros * row / rows;
      keep_highest(numbers(given).subspan(first, width), count, flags(mask).subspan(first, width));
    }
  });
  return mask;
}

std::vector<Tensor> lowest_masks(const std::vector<Tensor>& scores, int64_t num_zeros) {
  std::vector<Tensor> flat, masks;
  for (const Tensor& one : scores) flat.push_back(one.reshape({-1}).to(at::kDouble));
  const Tensor joined = lowest_mask(at::cat(flat), num_zeros);
  int64_t at = 0;
  for (const Tensor& one : scores) {
    masks.push_back(joined.slice(0, at, at + one.numel()).reshape(one.sizes()));
    at += one.numel();
  }
  return masks;
}

ColumnGroups column_groups(int64_t inputs, int64_t taps, int64_t group_size) {
  ColumnGroups groups;
  for (int64_t tap = 0; tap < taps; ++tap) {
    for (int64_t input = 0; input < inputs; ++input) {
      if (input % group_size == 0) groups.starts.push_back(static_cast<int64_t>(groups.order.size()));
      groups.order.push_back(input * taps + tap);
    }
  }
  return groups;
}

Tensor pattern_mask(const Tensor& scores, const ColumnGroups& groups, int64_t num_kept) {
  const Tensor order = at::tensor(groups.order, at::kLong);
  const Tensor given = plain(scores.index_select(1, order));
  Tensor placed = at::empty(given.sizes(), at::kBool);
  const int64_t size = given.size(1);
  for (int64_t row = 0; row < given.size(0); ++row) {
    for (size_t group = 0; group < groups.starts.size(); ++group) {
      const int64_t begin = groups.starts[group], end = group + 1 < groups.starts.size() ? groups.starts[group + 1] : size;
      const auto first = static_cast<size_t>(row * size + begin), width = static_cast<size_t>(end - begin);
      keep_highest(numbers(given).subspan(first, width), end - begin - num_kept, flags(placed).subspan(first, width));
    }
  }
  Tensor mask = at::empty_like(placed);
  mask.index_copy_(1, order, placed);
  return mask;
}

Tensor rms_scores(const Tensor& weights) {
  const Tensor x = weights.to(at::kDouble).abs();
  const double rms = std::sqrt((x * x).mean().item<double>());
  return rms > 0 ? x / rms : x;
}

Tensor lamp_scores(const Tensor& weights) {
  const Tensor squares = plain(weights.reshape({-1})).square();
  const auto given = numbers(squares);
  std::vector<size_t> order(given.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return given[a] < given[b]; });
  Tensor scores = at::zeros_like(squares);
  auto* const out = scores.mutable_data_ptr<double>();
  double above = 0;
  for (size_t i = order.size(); i-- > 0;) {
    above += given[order[i]];
    out[order[i]] = above > 0 ? given[order[i]] / above : 0;
  }
  return scores.reshape(weights.sizes());
}

}  // namespace niwaki
