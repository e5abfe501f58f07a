#pragma once

#include "compress/tensor.h"

namespace niwaki {

/// W [out, in, taps] as last x core x first: 1 x 1 to ri, k x k to ro, 1 x 1 to out. Double; orthonormal rows of `first` and columns of `last`.
struct Tucker2 {
  Tensor first;                              // [ri, in]
  Tensor core;                               // [ro, ri, taps]
  Tensor last;                               // [out, ro]
  double error = 0;                          // |W|^2 - |core|^2 = |W - its product|^2
};

/// The nearest product in the weights, by higher-order orthogonal iteration (1511.06530; algorithms.md 6.5).
Tucker2 tucker2(const Tensor& weight, int64_t input_rank, int64_t output_rank);

}  // namespace niwaki
