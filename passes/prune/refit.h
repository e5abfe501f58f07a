#pragma once

#include "compress/linear_algebra.h"

namespace niwaki {

/// The kept weights of each row that minimise |(w' - w) X|^2 + lambda |w' - w|^2 (algorithms.md 5.5), for `wanted` w
/// [rows, n], `mask` [rows, n], true = keep, and Gram [n, n]. `start` has the zeros of the mask: it stays where the data
/// never excites an input, and is what two sweeps over blocks of 2048 columns set out from where n is larger; else the
/// result is exact and does not depend on it. double [rows, n], +0.0 where the mask is false.
Tensor refit(const Tensor& wanted, const Tensor& start, const Tensor& mask, const Tensor& gram, double damp = 0.01,
             SolveRecord* record = nullptr);

}  // namespace niwaki
