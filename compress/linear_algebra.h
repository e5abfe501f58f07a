#pragma once

#include "compress/tensor.h"

namespace niwaki {

/// How a damped system was solved (algorithms.md 0.4): what the report says of it.
struct SolveRecord {
  double lambda = 0;
  int attempts = 0;                          // of Cholesky's method
  bool is_clamped = false;                   // all attempts failed: eigenvalues were clamped instead
  double condition = 1;                      // estimate: (largest / smallest diagonal entry of the factor)^2
  int64_t num_live = 0;                      // columns that the data excited
};

/// H + lambda I over the live columns, H_jj > 1e-12 max H_jj, and its factor.
struct DampedGram {
  Tensor live;                               // int64 [num_live], ascending
  Tensor gram;                               // double [num_live, num_live], lambda on the diagonal
  Tensor upper;                              // double R, upper triangular: gram = R R^T
  SolveRecord record;
};

/// lambda = damp * mean live diagonal; ten times as much after each failure up to the mean, then eigenvalues clamped to
/// 1e-10 of the largest. Takes a symmetric [n, n] of any float type. No live column: empty tensors.
DampedGram factor_damped(const Tensor& gram, double damp = 0.01);

/// U, upper triangular, with U^T U = inverse(R R^T): row i of U holds how column i is made up for by those after it.
Tensor inverse_upper(const Tensor& upper);

/// X with (H + lambda I) X = right [n, m] over the live columns, rows of the others 0; double [n, m].
Tensor solve_damped(const Tensor& gram, const Tensor& right, double damp = 0.01, SolveRecord* record = nullptr);

/// Lower Cholesky factor of a symmetric double [n, n], in blocks on all threads; undefined where it is not positive definite.
Tensor blocked_cholesky(const Tensor& gram);

/// The eigenvalue factor: a positive definite matrix near `gram`, which it replaces, and R of it.
Tensor clamped_upper(Tensor& gram, double lambda);

}  // namespace niwaki
