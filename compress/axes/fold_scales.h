#pragma once

#include "compress/axes/axis_classes.h"
#include "compress/linear_view.h"

namespace niwaki {

/// A linear node with the scale of each of its channels on both sides; 0: none, the channel stays as it is.
struct ScaledLayer {
  LinearView view;
  std::vector<uint32_t> rows;                // of the scales, by output: rows of the weight are divided
  std::vector<uint32_t> columns;             // by input: columns of the weight are multiplied
  std::string reason;                        // why rows has no scale at all, or ""
};
/// A constant that is added to scaled channels, and is divided with them.
struct ScaledTerm {
  NodeId node;
  size_t input, axis;
  std::vector<uint32_t> scales;              // by index of `axis`
};
/// A Clip to [0, high], which becomes Relu and a Min per channel.
struct ScaledClip {
  NodeId node;
  double high;
  size_t axis, rank;
  std::vector<uint32_t> scales;
};

/// The free scales of a graph: between linear nodes a channel may be divided by any number above 0, if what writes it
/// is divided and what reads it is multiplied; all that lies between must let a factor pass. A class of axes has one
/// scale per stretch between linear nodes, so both sides of a depthwise Conv are free.
struct ChannelScales {
  std::vector<ScaledLayer> layers;           // linear nodes of the main body, in order
  std::vector<ScaledTerm> terms;
  std::vector<ScaledClip> clips;
  std::vector<uint32_t> stretches;           // of each scale; numbered in the order of the nodes
  size_t num_scales() const { return stretches.size(); }   // with scale 0, which is none
};
/// With `split_clips`, a factor passes Clip to [0, high].
ChannelScales find_scales(const Graph& graph, bool split_clips = false);

/// The weight as [out, in / groups, taps]; a view.
Tensor weight_by_channels(const Graph& graph, const LinearView& view);
/// What each number of weight_by_channels() is multiplied with, double [out, in / groups].
Tensor channel_factors(const ScaledLayer& layer, const std::vector<double>& scales);
/// Divides channels by their scales, above 0; scales[0] is 1. What the graph computes stays the same to rounding.
///   before   h = Relu(Conv(x, w, b))             y = Conv(h, v, d)
///   after    h = Relu(Conv(x, w / s, b / s))     y = Conv(h, v * s, d)
void fold_scales(Graph& graph, const ChannelScales& found, const std::vector<double>& scales);

}  // namespace niwaki
