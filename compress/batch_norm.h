#pragma once

#include "compress/graph.h"

namespace niwaki {

/// Inputs of a BatchNormalization node.
inline constexpr size_t kMeanInput = 3, kVarianceInput = 4;

bool is_batch_norm(const Node& node);
/// Why other statistics cannot be stored for a BatchNormalization node, or "".
std::string why_statistics_stay(const Graph& graph, NodeId id);

/// Per channel: numbers less a shift, and their squares, summed; so a mean that is large costs no digits.
struct ChannelSums {
  Tensor sum, square;                        // double [channels]
  int64_t count = 0;                         // numbers of one channel

  void add(const ChannelSums& more);
  Tensor mean() const;                       // less the shift
  Tensor variance() const;                   // of all numbers, not of a sample of them
};

/// Of x [n, channels, ...], less `shift`, double [channels].
ChannelSums channel_sums(const Tensor& x, const Tensor& shift);

}  // namespace niwaki
