#include "passes/error_feedback.h"

#include "compress/parallel.h"

#include <algorithm>

namespace niwaki {
namespace {

constexpr int64_t kWide = 128;               // columns whose updates of all later ones are joined in one product
constexpr int64_t kRows = 64;                // of one task inside a step
constexpr int64_t kProductRows = 256;        // of one task of that product

void for_rows(int64_t rows, int64_t chunk, const std::function<void(int64_t, int64_t)>& work) {
  parallel_for((rows + chunk - 1) / chunk, [&](int64_t i) { work(i * chunk, std::min(rows, (i + 1) * chunk)); });
}

/// The columns of one joined product: values [rows, width] now, errors [rows, width], U [width, width].
template <typename T>
struct Block {
  Tensor now, error, upper;
  int64_t first = 0, width = 0;

  /// Fixes columns [begin, end), counted from `first`, in rows [from, to); returns the sum of squared errors.
  double fix(int64_t begin, int64_t end, int64_t from, int64_t to, const ColumnChoice& choice) const {
    T* const values = now.mutable_data_ptr<T>();
    T* const errors = error.mutable_data_ptr<T>();
    const T* const u = upper.const_data_ptr<T>();
    std::vector<double> before(static_cast<size_t>(to - from)), chosen(before.size());
    double loss = 0;
    for (int64_t column = begin; column < end; ++column) {
      for (int64_t row = from; row < to; ++row) before[static_cast<size_t>(row - from)] = static_cast<double>(values[row * width + column]);
      choice.choose(first + column, from, before, chosen);
      const T* const factors = u + column * width;
      for (int64_t row = from; row < to; ++row) {
        T* const line = values + row * width;
        const T wanted = static_cast<T>(chosen[static_cast<size_t>(row - from)]);
        const T e = (line[column] - wanted) / factors[column];
        errors[row * width + column] = e;
        line[column] = wanted;
        if (e == 0) continue;
        loss += static_cast<double>(e) * static_cast<double>(e);
        for (int64_t j = column + 1; j < width; ++j) line[j] -= e * factors[j];
      }
    }
    return loss;
  }
};

template <typename T>
ErrorFeedback feed_back(const Tensor& weights, const Tensor& upper, std::span<const int64_t> steps, ColumnChoice& choice) {
  ErrorFeedback result{weights.clone(at::MemoryFormat::Contiguous), 0};
  const Tensor u = upper.to(weights.scalar_type());
  const int64_t rows = weights.size(0), size = weights.size(1);
  std::vector<double> losses(static_cast<size_t>((rows + kRows - 1) / kRows), 0);
  for (size_t step = 0; step < steps.size();) {
    size_t last = step;                      // one past the steps of this block
    const auto end_of = [&](size_t i) { return i + 1 < steps.size() ? steps[i + 1] : size; };
    const int64_t begin = steps[step];
    while (last < steps.size() && (last == step || end_of(last) <= begin + kWide)) ++last;
    const int64_t end = end_of(last - 1);
    Block<T> block{result.weights.slice(1, begin, end).contiguous().clone(), at::empty({rows, end - begin}, weights.options()),
                   u.slice(0, begin, end).slice(1, begin, end).contiguous(), begin, end - begin};
    for (; step < last; ++step) {
      const int64_t from = steps[step] - begin, to = end_of(step) - begin;
      choice.start(steps[step], block.now.slice(1, from, to));
      for_rows(rows, kRows, [&](int64_t first, int64_t past) { losses[static_cast<size_t>(first / kRows)] += block.fix(from, to, first, past, choice); });
    }
    const Tensor later = u.slice(0, begin, end).slice(1, end, size);
    for_rows(rows, kProductRows, [&](int64_t first, int64_t past) {
      result.weights.slice(0, first, past).slice(1, begin, end).copy_(block.now.slice(0, first, past));
      if (end < size) result.weights.slice(0, first, past).slice(1, end, size).addmm_(block.error.slice(0, first, past), later, 1, -1);
    });
  }
  for (const double loss : losses) result.loss += loss;
  return result;
}

}  // namespace

ErrorFeedback feed_back_errors(const Tensor& weights, const Tensor& upper, std::span<const int64_t> steps, ColumnChoice& choice) {
  return weights.scalar_type() == at::kDouble ? feed_back<double>(weights, upper, steps, choice) : feed_back<float>(weights.to(at::kFloat), upper, steps, choice);
}

std::vector<int64_t> even_steps(int64_t size, int64_t width) {
  std::vector<int64_t> steps;
  for (int64_t at = 0; at < size; at += width) steps.push_back(at);
  return steps;
}

}  // namespace niwaki
