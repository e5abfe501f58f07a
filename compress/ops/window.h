#pragma once

#include "compress/ops/op_table.h"

namespace niwaki {

/// The sliding window of a convolution or pooling, one number per spatial axis.
struct Window {
  std::vector<int64_t> kernel, strides, dilations;
  std::vector<int64_t> begin, end;           // padding; negative cuts
  std::vector<int64_t> extension;            // what ceil_mode reads behind the padding
  std::vector<int64_t> outputs;              // number of positions
};

/// Reads strides, dilations, pads, auto_pad and ceil_mode for an input of spatial size `sizes`.
Window read_window(const OpCall& call, std::span<const int64_t> sizes, std::vector<int64_t> kernel);

/// True where ATen can pad by itself: both ends alike, nothing cut, no extension.
bool is_symmetric(const Window& window);
/// Pads (or cuts) the last axes of `x` by the window's padding and extension.
Tensor padded(const OpCall& call, const Tensor& x, const Window& window, double value);

}  // namespace niwaki
