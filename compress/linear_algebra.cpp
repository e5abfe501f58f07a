#include "compress/linear_algebra.h"

#include "compress/parallel.h"

#include <algorithm>
#include <cmath>

namespace niwaki {
namespace {

constexpr int64_t kBlock = 256;              // fixed: results must not depend on the number of threads

/// work(begin, end) over [first, size) in blocks; the later and longer ones first.
void for_blocks(int64_t first, int64_t size, const std::function<void(int64_t, int64_t)>& work) {
  const int64_t count = (size - first + kBlock - 1) / kBlock;
  parallel_for(count, [&](int64_t i) {
    const int64_t begin = first + (count - 1 - i) * kBlock;
    work(begin, std::min(size, begin + kBlock));
  });
}

/// The rows and columns of a square matrix backwards.
Tensor reversed(const Tensor& x) {
  const Tensor from = x.contiguous();
  Tensor to = at::empty_like(from);
  const int64_t size = from.size(0);
  const double* const read = from.const_data_ptr<double>();
  double* const write = to.mutable_data_ptr<double>();
  for_blocks(0, size, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) std::reverse_copy(read + row * size, read + (row + 1) * size, write + (size - 1 - row) * size);
  });
  return to;
}

/// As reversed, without another matrix of that size.
void reverse_in_place(Tensor& x) {
  const int64_t size = x.size(0);
  double* const numbers = x.mutable_data_ptr<double>();
  parallel_for((size / 2 + kBlock) / kBlock, [&](int64_t i) {
    for (int64_t row = i * kBlock; row < std::min((size + 1) / 2, (i + 1) * kBlock); ++row) {
      double *const upper = numbers + row * size, *const lower = numbers + (size - 1 - row) * size;
      std::reverse(upper, upper + size);
      if (upper == lower) continue;
      std::reverse(lower, lower + size);
      std::swap_ranges(upper, upper + size, lower);
    }
  });
}

double condition_of(const Tensor& factor) {
  const auto [least, most] = at::aminmax(factor.diagonal().abs());
  return std::pow(most.item<double>() / least.item<double>(), 2);
}

Tensor with_ridge(const Tensor& gram, double lambda) {
  Tensor damped = at::empty(gram.sizes(), at::kDouble);
  for_blocks(0, gram.size(0), [&](int64_t from, int64_t to) { damped.slice(0, from, to).copy_(gram.slice(0, from, to)); });
  damped.diagonal().add_(lambda);
  return damped;
}

/// Replaces a contiguous symmetric matrix by its lower factor; false where it is not positive definite.
bool factor_in_place(Tensor& factor) {
  const int64_t size = factor.size(0);
  bool is_positive = true;
  for (int64_t begin = 0; begin < size && is_positive; begin += kBlock) {
    const int64_t end = std::min(size, begin + kBlock);
    Tensor corner = factor.slice(0, begin, end).slice(1, begin, end);
    parallel_for(1, [&](int64_t) {           // one of ATen's threads, whoever calls
      const auto [lower, failed] = at::linalg_cholesky_ex(corner);
      is_positive = failed.item<int>() == 0 && at::isfinite(lower).all().item<bool>();
      corner.copy_(lower);
    });
    if (!is_positive) return false;
    for_blocks(end, size, [&](int64_t from, int64_t to) {
      Tensor panel = factor.slice(0, from, to).slice(1, begin, end);
      panel.copy_(at::linalg_solve_triangular(corner.t(), panel, /*upper=*/true, /*left=*/false));
    });
    const Tensor panel = factor.slice(0, end, size).slice(1, begin, end);
    for_blocks(end, size, [&](int64_t from, int64_t to) {
      Tensor rows = factor.slice(0, from, to).slice(1, end, to);
      rows.addmm_(panel.slice(0, from - end, to - end), panel.slice(0, 0, to - end).t(), 1, -1);
    });
  }
  for_blocks(0, size, [&](int64_t from, int64_t to) { factor.slice(0, from, to).tril_(from); });
  return true;
}

}  // namespace

Tensor blocked_cholesky(const Tensor& gram) {
  Tensor factor = with_ridge(gram, 0);
  return factor_in_place(factor) ? factor : Tensor();
}

Tensor clamped_upper(Tensor& gram, double lambda) {
  const auto [numbers, vectors] = at::linalg_eigh(gram);
  const Tensor kept = (numbers + lambda).clamp_min(std::max(numbers.max().item<double>(), 1e-300) * 1e-10);
  gram = at::mm(vectors * kept, vectors.t());
  // gram = B^T B with B = sqrt(kept) V^T; the QR factor of B with columns reversed gives R
  const Tensor roots = (vectors * kept.sqrt()).t().flip({1});
  const Tensor triangle = std::get<1>(at::linalg_qr(roots, "r"));
  const Tensor signs = at::where(triangle.diagonal() < 0, -1.0, 1.0).unsqueeze(1);
  return reversed((triangle * signs).t());
}

DampedGram factor_damped(const Tensor& gram, double damp) {
  DampedGram result;
  Tensor whole = gram.to(at::kDouble);
  const Tensor diagonal = whole.diagonal();
  const double largest = whole.numel() > 0 ? diagonal.max().item<double>() : 0;
  result.live = at::nonzero(diagonal > 1e-12 * std::max(largest, 0.0)).reshape({-1});
  result.record.num_live = result.live.numel();
  if (result.record.num_live < whole.size(0)) whole = whole.index_select(0, result.live).index_select(1, result.live);
  if (result.record.num_live == 0) {
    result.gram = result.upper = at::zeros({0, 0}, at::kDouble);
    return result;
  }
  const double mean = whole.diagonal().mean().item<double>();
  Tensor lower;
  bool is_positive = false;
  double lambda = damp * mean;
  for (; !is_positive && (lambda <= mean || result.record.attempts == 0); lambda = lambda > 0 ? lambda * 10 : 1e-10 * mean) {
    ++result.record.attempts;
    result.record.lambda = lambda;
    result.gram = with_ridge(whole, lambda);
    lower = reversed(result.gram);
    is_positive = factor_in_place(lower);
  }
  if (is_positive) {
    reverse_in_place(lower);
    result.upper = lower;
  } else {
    result.record.is_clamped = true;
    result.record.lambda = damp * mean;
    result.gram = whole;
    result.upper = clamped_upper(result.gram, damp * mean);
  }
  result.record.condition = condition_of(result.upper);
  return result;
}

Tensor inverse_upper(const Tensor& upper) {
  const int64_t size = upper.size(0);
  Tensor inverse = at::empty({size, size}, at::kDouble);
  const auto block = [](const Tensor& x, int64_t row, int64_t end, int64_t from, int64_t to) { return x.slice(0, row, end).slice(1, from, to); };
  for_blocks(0, size, [&](int64_t from, int64_t to) {                // the blocks on the diagonal
    const Tensor unit = at::eye(to - from, at::kDouble);
    block(inverse, from, to, from, to).copy_(at::linalg_solve_triangular(block(upper, from, to, from, to), unit, /*upper=*/true));
    block(inverse, to, size, from, to).zero_();
  });
  for_blocks(0, size, [&](int64_t from, int64_t to) {                // columns, from the diagonal upwards
    for (int64_t end = from; end > 0; end -= kBlock) {
      const int64_t row = end - kBlock;
      const Tensor rest = at::mm(block(upper, row, end, end, to), block(inverse, end, to, from, to));
      block(inverse, row, end, from, to).copy_(at::mm(block(inverse, row, end, row, end), rest).neg_());
    }
  });
  return inverse;
}

Tensor solve_damped(const Tensor& gram, const Tensor& right, double damp, SolveRecord* record) {
  const DampedGram damped = factor_damped(gram, damp);
  if (record != nullptr) *record = damped.record;
  Tensor solution = at::zeros(right.sizes(), at::kDouble);
  if (damped.record.num_live == 0 || right.numel() == 0) return solution;
  const Tensor wanted = right.to(at::kDouble).index_select(0, damped.live);
  Tensor found = at::empty_like(wanted);
  const int64_t columns = wanted.size(1);
  for_blocks(0, columns, [&](int64_t from, int64_t to) {
    const Tensor half = at::linalg_solve_triangular(damped.upper, wanted.slice(1, from, to), /*upper=*/true);
    found.slice(1, from, to).copy_(at::linalg_solve_triangular(damped.upper.t(), half, /*upper=*/false));
  });
  solution.index_copy_(0, damped.live, found);
  return solution;
}

}  // namespace niwaki
