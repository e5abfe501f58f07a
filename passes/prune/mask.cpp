#include "passes/prune/mask.h"

#include "compress/parallel.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>
#include <span>

namespace niwaki {
namespace {

constexpr int64_t kChunk = 1 << 16;          // scores of one task
constexpr int kLeadingBits = 14;             // that scores are sorted into buckets by: quarters of a power of two

/// The lowest scores that go: all below `score`, and `num_ties` of those equal to it.
struct Cut {
  double score;
  int64_t num_ties;
};

/// Of scores among which the `count` lowest go, 0 < count <= size; they change places.
Cut cut_in(std::vector<double>& scores, int64_t count) {
  std::nth_element(scores.begin(), scores.begin() + (count - 1), scores.end());
  const double last = scores[static_cast<size_t>(count - 1)];
  return {last, count - std::count_if(scores.begin(), scores.end(), [&](double score) { return score < last; })};
}

size_t bucket_of(double score) {             // rises with the score; 0 and -0 are equal
  const auto bits = std::bit_cast<uint64_t>(score + 0.0);
  const uint64_t rank = (bits >> 63) != 0 ? ~bits : bits | (uint64_t{1} << 63);
  return rank >> (64 - kLeadingBits);
}

void for_chunks(std::span<const double> scores, const std::function<void(size_t, std::span<const double>)>& work) {
  const auto size = static_cast<int64_t>(scores.size());
  parallel_for((size + kChunk - 1) / kChunk, [&](int64_t i) {
    work(static_cast<size_t>(i), scores.subspan(static_cast<size_t>(i * kChunk), static_cast<size_t>(std::min(kChunk, size - i * kChunk))));
  });
}

/// As cut_in, by buckets first, on all threads.
Cut find_cut(std::span<const double> scores, int64_t count) {
  const size_t num_chunks = (scores.size() + kChunk - 1) / kChunk;
  std::vector<std::vector<uint32_t>> counts(num_chunks);
  for_chunks(scores, [&](size_t chunk, std::span<const double> part) {
    counts[chunk].assign(size_t{1} << kLeadingBits, 0);
    for (const double score : part) ++counts[chunk][bucket_of(score)];
  });
  size_t bucket = 0;
  for (;; ++bucket) {
    int64_t here = 0;
    for (const auto& one : counts) here += one[bucket];
    if (count <= here) break;
    count -= here;
  }
  std::vector<std::vector<double>> found(num_chunks);
  for_chunks(scores, [&](size_t chunk, std::span<const double> part) {
    found[chunk].reserve(counts[chunk][bucket]);
    for (const double score : part) {
      if (bucket_of(score) == bucket) found[chunk].push_back(score);
    }
  });
  std::vector<double> joined;
  for (const auto& one : found) joined.insert(joined.end(), one.begin(), one.end());
  return cut_in(joined, count);
}

/// Writes 0 at the `count` lowest scores, 1 elsewhere.
void keep_highest(std::span<const double> scores, int64_t count, std::span<bool> keep) {
  if (count <= 0 || count >= static_cast<int64_t>(scores.size())) {
    std::fill(keep.begin(), keep.end(), count <= 0);
    return;
  }
  const bool is_small = scores.size() <= static_cast<size_t>(kChunk);
  std::vector<double> copy(scores.begin(), is_small ? scores.end() : scores.begin());
  Cut cut = is_small ? cut_in(copy, count) : find_cut(scores, count);
  for_chunks(scores, [&](size_t chunk, std::span<const double> part) {
    bool* const out = keep.data() + chunk * kChunk;
    for (size_t i = 0; i < part.size(); ++i) out[i] = part[i] >= cut.score;
  });
  for (size_t i = 0; i < scores.size() && cut.num_ties > 0; ++i) {
    if (scores[i] != cut.score) continue;
    keep[i] = false;
    --cut.num_ties;
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
