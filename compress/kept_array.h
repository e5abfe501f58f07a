#pragma once

#include "compress/dataset.h"

namespace niwaki {

/// Samples that lie in one tensor [samples, ...]; rows are views of it.
class KeptArray : public SampleArray {
 public:
  KeptArray(Tensor array, DType dtype) : array_(std::move(array)), dtype_(dtype) {}
  DType dtype() const override { return dtype_; }
  std::vector<int64_t> sizes() const override { return array_.sizes().vec(); }
  RunValue rows(int64_t first, int64_t count) const override { return {array_.narrow(0, first, count), dtype_}; }

 private:
  Tensor array_;
  DType dtype_;
};

}  // namespace niwaki
