#pragma once

#include "compress/pass.h"

namespace niwaki {

struct FlattenSoftmaxOptions {
  void validate() const {}
  Needs needs() const { return {}; }
  static constexpr auto fields() { return std::tuple{}; }
};

/// Runs Softmax over the channels of images on [N, C, H * W], where runtimes need no walk over
/// scattered memory.
///   before   y = Softmax(x, axis=1)   or   y = Transpose(Softmax(Transpose(x), axis=-1))
///   after    y = Reshape(Softmax(Reshape(x, [0, C, H * W]), axis=1), [0, C, H, W])
/// Before opset 13, Softmax keeps to the last axis, between Transposes of three axes. Skips other
/// axes and small tensors.
void flatten_softmax(Graph& graph, const FlattenSoftmaxOptions& options, PassContext& context);

}  // namespace niwaki
