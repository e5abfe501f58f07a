#pragma once

#include "compress/dataset.h"

namespace niwaki {

/// Samples of a form that does not say where axes of size 1 are.
class ReshapableArray : public SampleArray {
 public:
  /// Whether the elements fill an input in order, whatever its shape: idx and CSV.
  virtual bool fills_any_shape() const = 0;
};

}  // namespace niwaki
