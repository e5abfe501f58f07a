#pragma once

#include "compress/pass.h"

namespace niwaki {

struct EqualizeChannelsOptions {
  int sweeps = 3;
  double least_spread = 1;
  bool split_clips = false;
  void validate() const {}
  Needs needs() const { return {}; }
  static constexpr auto fields() {
    using O = EqualizeChannelsOptions;
    return std::tuple{field("sweeps", &O::sweeps, "times that every scale is chosen anew").between(1, 50),
                      field("least_spread", &O::least_spread, "leave channels alone whose scales are closer, 90th percentile over 10th").between(1, 1e6),
                      field("split_clips", &O::split_clips, "scales through ReLU6 too, which becomes Relu and a Min per channel")};
  }
};

/// The `least_spread` of quantization that nobody tuned: from here on equal channels were better than uneven ones; below, the scales
/// of activations lost more than weights gained. Rows with scales of their own need equal ranges less.
constexpr double kUnevenPerTensor = 3, kUnevenPerChannel = 10;

/// Gives the channels between linear nodes scales that make their weights equally large on both sides, so that one scale
/// per tensor suits all rows (1906.04721). What the model computes stays the same to rounding.
///   before   h = Relu(Conv(x, w, b))             y = Conv(h, v)
///   after    h = Relu(Conv(x, w / s, b / s))     y = Conv(h, v * s)      s = sqrt(max |w[i]| / max |v[:, i]|)
/// A residual stream has one scale per channel for all that write and read it. Skips channels that reach an output, or a
/// node that lets no factor pass, or belong to a node that is kept. Fold BatchNormalization first. A second run goes on where the sweeps of the first ended.
void equalize_channels(Graph& graph, const EqualizeChannelsOptions& options, PassContext& context);

}  // namespace niwaki
