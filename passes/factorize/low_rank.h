#pragma once

#include "compress/tensor.h"

namespace niwaki {

/// Eigenvalues of W H W^T, largest first, and their directions among the outputs; those that are 0 by rounding are left out.
struct OutputSpectrum {
  Tensor energies;                           // double [k], above 0
  Tensor directions;                         // double [out, k], orthonormal; the largest entry of each is positive

  /// Share of the energy that the first `rank` directions hold; 1 where there is none at all.
  double energy(int64_t rank) const;
  /// Least number of directions that hold this share.
  int64_t rank_for(double share) const;
};

/// Of rows W [out, in] on inputs with second moments H [in, in]; undefined H: the unit matrix. Any float type, computed in double.
OutputSpectrum output_spectrum(const Tensor& rows, const Tensor& moments);

/// W by a product of two narrow matrices.
struct LowRank {
  Tensor last, first;                        // double [out, rank], [rank, in]
  double error = 0;                          // |(W - last first) X|^2, the energies left out
};

/// The product of this rank, or of all directions where there are fewer, whose outputs are nearest to those of W:
/// last = U_r, first = U_r^T W (algorithms.md 6.2). No inverse, so H may be singular. The values between have equal size.
LowRank low_rank(const Tensor& rows, const Tensor& moments, int64_t rank);
LowRank low_rank(const OutputSpectrum& spectrum, const Tensor& rows, const Tensor& moments, int64_t rank);

/// Scales row i of `first` and column i of `last` so that all values between have the same mean square, and both factors the same norm.
void balance(Tensor& last, Tensor& first, const Tensor& moments);

}  // namespace niwaki
