#pragma once

#include "compress/axes/axis_classes.h"
#include "compress/linear_view.h"
#include "compress/statistics.h"

#include <map>

namespace niwaki {

/// A linear map that sums over channels which may go: one group of a Conv, a Gemm, a MatMul, or W or R of a recurrent node.
struct ChannelReader {
  NodeId node;
  ValueId weight = ValueId::absent, input = ValueId::absent;
  std::optional<LinearView> view;            // none: recurrent, and `input` holds what it reads along its last axis
  int64_t group = 0;
  std::map<ClassId, std::vector<int64_t>> columns;

  Tensor rows(const Graph& graph) const;     // double [out, n]
};

/// Classes that are alike: they show on the same axes, equally often, so that only their number counts for the cost.
struct ChannelFamily {
  /// In each block as many classes stay as in the others (groups of a Conv); mostly one block.
  std::vector<std::vector<ClassId>> blocks;
  std::vector<size_t> readers;
  std::vector<LinearView> makers;            // whose output channels they are
  bool has_other_readers = false;            // e.g. a product of two activations, or a map without statistics
  bool may_vanish = false;                   // other channels stay on every axis that it shows on

  size_t width() const { return blocks.front().size(); }
};

/// LSTM, GRU or RNN.
bool is_recurrent(const Node& node);

struct ChannelFamilies {
  std::vector<ChannelReader> readers;
  std::vector<ChannelFamily> families;
};

/// What can be removed: classes that touch no constant of a node in `kept`, and leave no axis empty.
ChannelFamilies find_channel_families(const Graph& graph, const AxisClasses& classes, const std::set<NodeId>& kept);
/// What `collect` must look at for the readers.
void want_grams(const Graph& graph, const ChannelFamilies& found, Wanted& wanted);
/// Second moments around the mean of what a reader reads, [n, n]; the part that all positions of a sample share counts
/// `coherence` times. Shrunk towards the diagonal as far as samples are few (Ledoit and Wolf 2004).
Tensor moments_of(const Statistics& statistics, const ChannelReader& reader, double coherence);

}  // namespace niwaki
