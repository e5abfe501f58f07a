#pragma once

#include "compress/tensor.h"

#include <optional>

namespace niwaki {

/// Features of the same samples and positions, as double [rows, channels].
struct FeatureRows {
  Tensor student, teacher;
};

/// Values [N, C], [N, T, C] or [N, C, H, W] as rows; the larger of two maps is pooled, and of a sample at most `most` positions
/// count, spread evenly. Nothing where two values cannot be compared.
std::optional<FeatureRows> feature_rows(const Tensor& student, const Tensor& teacher, int64_t most);

/// Sums over rows of what two values are at the same places; their size does not depend on how many there are.
class FeatureSums {
 public:
  void add(const FeatureRows& rows);
  /// Linear centred kernel alignment, 0 to 1: |S^T T|^2 / (|S^T S| |T^T T|) (1905.00414); 0 where one does not vary.
  double cka() const;
  /// Mean over its channels of the teacher's variance.
  double variance() const;
  /// The same of the student.
  double student_variance() const;
  /// [teacher channels, student channels + 1]: the linear map, its offset last, that brings the student nearest to the teacher.
  Tensor projector() const;

 private:
  double mean_variance(const Tensor& products, const Tensor& sum) const;
  Tensor centred(const Tensor& products, const Tensor& left, const Tensor& right) const;
  Tensor student_sum_, teacher_sum_;         // [channels]
  Tensor student_products_, teacher_products_, cross_;   // [channels, channels]; cross: [student, teacher]
  int64_t rows_ = 0;
};

/// The student's features [N, C, H, W] or [..., C] through such a map.
Tensor project(const Tensor& features, const Tensor& projector);

}  // namespace niwaki
