#include "passes/train/feature_sums.h"

#include "compress/linear_algebra.h"

#include <cmath>

namespace niwaki {
namespace {

constexpr double kDamp = 0.01;               // of the fit: there may be as many channels as samples

/// [N, positions, channels].
Tensor by_position(const Tensor& x) {
  if (x.dim() == 2) return x.unsqueeze(1);
  return x.dim() == 4 ? x.flatten(2).transpose(1, 2) : x;
}

Tensor chosen_rows(const Tensor& x, int64_t most) {
  const Tensor all = by_position(x);
  const int64_t positions = all.size(1), kept = std::min(positions, most);
  const Tensor places = at::arange(kept, at::kLong) * positions / kept;
  return all.index_select(1, places.to(at::kLong)).flatten(0, 1).to(at::kDouble);
}

double frobenius(const Tensor& x) { return at::linalg_vector_norm(x).item<double>(); }

}  // namespace

std::optional<FeatureRows> feature_rows(const Tensor& student, const Tensor& teacher, int64_t most) {
  const bool is_known = student.dim() == teacher.dim() && student.dim() >= 2 && student.dim() <= 4;
  if (!is_known || student.size(0) != teacher.size(0)) return std::nullopt;
  if (student.dim() == 3 && student.size(1) != teacher.size(1)) return std::nullopt;
  Tensor own = student, wanted = teacher;
  if (student.dim() == 4 && student.sizes().slice(2) != teacher.sizes().slice(2)) {
    const std::vector<int64_t> sizes{std::min(own.size(2), wanted.size(2)), std::min(own.size(3), wanted.size(3))};
    own = at::adaptive_avg_pool2d(own, sizes);
    wanted = at::adaptive_avg_pool2d(wanted, sizes);
  }
  return FeatureRows{chosen_rows(own, most), chosen_rows(wanted, most)};
}

void FeatureSums::add(const FeatureRows& rows) {
  const auto& [own, wanted] = rows;
  const auto include = [&](Tensor& total, const Tensor& more) { total = total.defined() ? total + more : more; };
  include(student_sum_, own.sum(0));
  include(teacher_sum_, wanted.sum(0));
  include(student_products_, at::mm(own.t(), own));
  include(teacher_products_, at::mm(wanted.t(), wanted));
  include(cross_, at::mm(own.t(), wanted));
  rows_ += own.size(0);
}

Tensor FeatureSums::centred(const Tensor& products, const Tensor& left, const Tensor& right) const {
  return products - at::outer(left, right) / static_cast<double>(rows_);
}

double FeatureSums::cka() const {
  const double own = frobenius(centred(student_products_, student_sum_, student_sum_));
  const double wanted = frobenius(centred(teacher_products_, teacher_sum_, teacher_sum_));
  const double both = frobenius(centred(cross_, student_sum_, teacher_sum_));
  // what is left of products after their means went is noise of rounding where a value is constant
  const bool varies = own > 1e-12 * frobenius(student_products_) && wanted > 1e-12 * frobenius(teacher_products_);
  const double found = varies ? both * both / (own * wanted) : 0;
  return std::isfinite(found) ? std::clamp(found, 0.0, 1.0) : 0;
}

double FeatureSums::mean_variance(const Tensor& products, const Tensor& sum) const {
  const Tensor squares = centred(products, sum, sum).diagonal();
  return std::max(squares.mean().item<double>() / static_cast<double>(rows_), 0.0);
}

double FeatureSums::variance() const { return mean_variance(teacher_products_, teacher_sum_); }
double FeatureSums::student_variance() const { return mean_variance(student_products_, student_sum_); }

Tensor FeatureSums::projector() const {
  const Tensor gram = centred(student_products_, student_sum_, student_sum_);
  const Tensor weight = solve_damped(gram, centred(cross_, student_sum_, teacher_sum_), kDamp).t();
  const auto count = static_cast<double>(rows_);
  const Tensor offset = teacher_sum_ / count - at::mv(weight, student_sum_ / count);
  return at::cat({weight, offset.unsqueeze(1)}, 1).to(at::kFloat).contiguous();
}

Tensor project(const Tensor& features, const Tensor& projector) {
  const int64_t channels = projector.size(1) - 1;
  const Tensor weight = projector.narrow(1, 0, channels), offset = projector.select(1, channels);
  if (features.dim() == 4) return at::conv2d(features, weight.reshape({-1, channels, 1, 1}), offset);
  return at::linear(features, weight, offset);
}

}  // namespace niwaki
