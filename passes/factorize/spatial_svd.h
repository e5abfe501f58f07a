#pragma once

#include "passes/factorize/low_rank.h"

namespace niwaki {

/// A convolution W [out, in] whose columns (a, s) are split behind the first `in / taps` of them: the first factor maps each of `a`
/// to a rank and knows nothing of the `taps` that follow, the last one sees those (algorithms.md 6.1, 6.4). One of
///   taps = 1            k x k to r, then 1 x 1; also every linear map
///   taps = kw           kh x 1 to r, then 1 x kw: spatial SVD
///   taps = kh * kw      1 x 1 to r, then k x k
/// All ranks follow from one eigendecomposition and one Cholesky factor.
class TapSplit {
 public:
  /// Outputs count by `weights` [out] (undefined: alike) in the choice of the first factor. `most`: the largest rank wanted.
  TapSplit(const Tensor& rows, const Tensor& moments, int64_t taps, int64_t most, const Tensor& weights = {});

  int64_t num_ranks() const { return first_.size(0); }
  /// Weighted squared error of the outputs at each rank from 0 to num_ranks(), with the last factor by least squares.
  const std::vector<double>& losses() const { return losses_; }
  double energy() const { return losses_[0]; }         // of the outputs, weighted
  /// Weighted errors when the last factor, too, goes through `rank` outputs (Tucker-2): by that rank, from 0.
  std::vector<double> losses_through(int64_t input_rank) const;
  /// first [rank, in / taps], last [out, rank * taps].
  LowRank at(int64_t rank) const;
  /// Tucker-2 at these ranks: first [ri, in / taps], middle [ro, ri * taps], last [out, ro].
  struct Three {
    Tensor first, middle, last;
    double error = 0;
  };
  Three through(int64_t input_rank, int64_t output_rank) const;

 private:
  void project();
  Tensor weighted_gram(int64_t rank) const;

  Tensor rows_, moments_, weights_;          // double; weights as factors of the rows [out, 1]
  int64_t taps_;
  Tensor first_;                             // [ranks, in / taps], orthogonal in the moments, largest energy first
  Tensor products_, cross_;                  // of what the last factor reads: [ranks * taps, ...], [ranks * taps, out]
  Tensor solved_;                            // L^-1 cross, with L the Cholesky factor of products
  std::vector<double> losses_;
};

/// First [rank, in * kh, 1] and last [out, rank, kw] of W [out, in, kh, kw] by plain SVD of M[(in, kh), (out, kw)]; shapes [r, C, kh, 1], [O, r, 1, kw].
struct SpatialFactors {
  Tensor first, last;
};
SpatialFactors spatial_svd(const Tensor& weight, int64_t rank);

}  // namespace niwaki
