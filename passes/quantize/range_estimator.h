#pragma once

#include "compress/histogram.h"

#include <array>

namespace niwaki {

enum class RangeEstimator { min_max, percentile, mse, entropy };
constexpr auto names(RangeEstimator) { return std::array{"min_max", "percentile", "mse", "entropy"}; }

struct EstimatedRange {
  double low = 0, high = 0;                  // contains 0
  double clipped = 0;                        // share of numbers outside
};

/// The range of numbers that `bits`-bit codes should cover (algorithms.md 3.2). `is_symmetric`: low = -high.
EstimatedRange estimate_range(const Histogram& histogram, RangeEstimator estimator, double percentile, int bits,
                              bool is_symmetric);

/// An affine grid: x ~ (q - zero_point) * scale.
struct ActivationGrid {
  float scale = 1;
  int zero_point = 0;
};
/// uint8 codes of a range (algorithms.md 3.3); scale 1 where the range is too small to divide.
ActivationGrid grid_of(const EstimatedRange& range, int bits, bool is_symmetric);

}  // namespace niwaki
