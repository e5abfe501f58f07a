#include "passes/error_feedback.h"

#include "compress/parallel.h"

#include <algorithm>

namespace niwaki {
namespace {

constexpr int64_t kWide = 256;               // columns whose updates of all later ones are joined in one product
constexpr int64_t kNarrow = 32;              // columns whose updates of the others of these are joined
constexpr int64_t kRows = 64;                // of one task inside a step
constexpr int64_t kProductRows = 256;        // of one task of that product

void for_rows(int64_t rows, int64_t chunk, const std::function<void(int64_t, int64_t)>& work) {
  parallel_for((rows + chunk - 1) / chunk, [&](int64_t i) { work(i * chunk, std::min(rows, (i + 1) * chunk)); });
}

/// A contiguous copy in another type.
Tensor copied(const Tensor& x, at::ScalarType type) {
  Tensor copy = at::empty(x.sizes(), type);
  for_rows(x.size(0), kProductRows, [&](int64_t from, int64_t to) { copy.slice(0, from, to).copy_(x.slice(0, from, to)); });
  return copy;
}

/// The columns of one joined product: values [rows, width] now, errors [rows, width], U [width, width].
template <typename T>
struct Block {
  Tensor now, error, upper;
  int64_t first = 0, width = 0;

  /// Fixes column `column` in rows [from, from + before.size()), and makes up for it in the columns before `end`.
  double fix_column(int64_t column, int64_t end, int64_t from, std::span<const double> before, std::span<const double> chosen) const {
    T* const values = now.mutable_data_ptr<T>() + from * width;
    T* const errors = error.mutable_data_ptr<T>() + from * width;
    const T* const factors = upper.const_data_ptr<T>() + column * width;
    double loss = 0;
    for (size_t row = 0; row < before.size(); ++row) {
      T* const line = values + static_cast<int64_t>(row) * width;
      const T wanted = static_cast<T>(chosen[row]);
      const T e = (line[column] - wanted) / factors[column];
      errors[static_cast<int64_t>(row) * width + column] = e;
      line[column] = wanted;
      if (e == 0) continue;
      loss += static_cast<double>(e) * static_cast<double>(e);
      for (int64_t j = column + 1; j < end; ++j) line[j] -= e * factors[j];
    }
    return loss;
  }

  /// Fixes columns [begin, end), counted from `first`, in rows [from, to); returns the sum of squared errors.
  double fix(int64_t begin, int64_t end, int64_t from, int64_t to, const ColumnChoice& choice) const {
    const T* const values = now.const_data_ptr<T>();
    std::vector<double> before(static_cast<size_t>(to - from)), chosen(before.size());
    double loss = 0;
    for (int64_t start = begin; start < end; start += kNarrow) {
      const int64_t stop = std::min(end, start + kNarrow);
      for (int64_t column = start; column < stop; ++column) {
        for (int64_t row = from; row < to; ++row) before[static_cast<size_t>(row - from)] = static_cast<double>(values[row * width + column]);
        choice.choose(first + column, from, before, chosen);
        loss += fix_column(column, stop, from, before, chosen);
      }
      if (stop == width) continue;
      Tensor later = now.slice(0, from, to).slice(1, stop, width);
      later.addmm_(error.slice(0, from, to).slice(1, start, stop), upper.slice(0, start, stop).slice(1, stop, width), 1, -1);
    }
    return loss;
  }
};

template <typename T>
ErrorFeedback feed_back(const Tensor& weights, const Tensor& upper, std::span<const int64_t> steps, ColumnChoice& choice) {
  const auto type = c10::CppTypeToScalarType<T>::value;
  ErrorFeedback result{copied(weights, type), 0};
  const Tensor u = copied(upper, type);
  const int64_t rows = weights.size(0), size = weights.size(1);
  std::vector<double> losses(static_cast<size_t>((rows + kRows - 1) / kRows), 0);
  for (size_t step = 0; step < steps.size();) {
    size_t last = step;                      // one past the steps of this block
    const auto end_of = [&](size_t i) { return i + 1 < steps.size() ? steps[i + 1] : size; };
    const int64_t begin = steps[step];
    while (last < steps.size() && (last == step || end_of(last) <= begin + kWide)) ++last;
    const int64_t end = end_of(last - 1);
    const Block<T> block{copied(result.weights.slice(1, begin, end), type), at::empty({rows, end - begin}, type),
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

ErrorFeedback feed_back_errors(const Tensor& weights, const Tensor& upper, std::span<const int64_t> steps, ColumnChoice& choice, bool is_float) {
  const bool is_double = weights.scalar_type() == at::kDouble && !is_float;
  return is_double ? feed_back<double>(weights, upper, steps, choice) : feed_back<float>(weights, upper, steps, choice);
}

std::vector<int64_t> even_steps(int64_t size, int64_t width) {
  std::vector<int64_t> steps;
  for (int64_t at = 0; at < size; at += width) steps.push_back(at);
  return steps;
}

}  // namespace niwaki
