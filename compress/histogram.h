#pragma once

#include "compress/tensor.h"

#include <cstdint>
#include <span>
#include <vector>

namespace niwaki {

/// Counts of numbers in 2048 bins that widen by merging pairs, on [0, 2^e] while all are >= 0, else on [-2^e, 2^e]
/// (algorithms.md 3.1). Edges are nested and zero is always one, so the counts do not depend on the order of what is added.
class Histogram {
 public:
  static constexpr int kBins = 2048;
  static constexpr int kLeastExponent = -100;   // kBins / 2^e is a float; smaller numbers fall into the bins around zero
  void add(const Tensor& numbers);           // any shape, floating point, finite
  void add(const Tensor& numbers, double low, double high);   // their least and greatest, where they are known
  void add(const Histogram& other);
  double low() const { return min_; }        // exact
  double high() const { return max_; }
  int64_t total() const { return total_; }
  bool is_signed() const { return signed_; }
  /// Bin k holds [edge(k), edge(k + 1)).
  double edge(int bin) const;
  const std::vector<int64_t>& counts() const { return counts_; }

 private:
  void widen(int exponent, bool needs_sign);
  template <typename BinOf>
  void count_bins(std::span<const float> in, const BinOf& bin_of);
  int exponent_ = kLeastExponent;
  bool signed_ = false;
  std::vector<int64_t> counts_ = std::vector<int64_t>(kBins);
  double min_ = 0, max_ = 0;
  int64_t total_ = 0;
};

}  // namespace niwaki
