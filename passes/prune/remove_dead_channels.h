#pragma once

#include "compress/pass.h"

namespace niwaki {

struct RemoveDeadChannelsOptions {
  double dead_tolerance = 1e-20;
  bool merge_duplicates = true;
  void validate() const {}
  Needs needs() const { return {}; }
  static constexpr auto fields() {
    using O = RemoveDeadChannelsOptions;
    return std::tuple{field("dead_tolerance", &O::dead_tolerance, "weights this small beside the largest of their tensor count as zero").between(0, 0.01),
                      field("merge_duplicates", &O::merge_duplicates, "merge channels that always hold equal numbers")};
  }
};

/// Removes channels that nobody reads, that hold one number always, or that equal another; outputs stay the same
/// to rounding; weights of 1e-20 of the largest, which weight decay leaves, cannot show in float32 and count as zero.
///   before   h = Relu(Conv(x, w, b)), channel 7 always c     y = Conv(h, v, d)
///   after    h without channel 7                             y = Conv(h, v without column 7, d + sum of v[:, 7] * c)
/// A channel with c != 0 stays where a padded Conv reads it: padding is zero, not c. So do a few of many channels where
/// a Conv would be left with no multiple of 4, which is slower than all of them. Repeats until nothing is left.
void remove_dead_channels(Graph& graph, const RemoveDeadChannelsOptions& options, PassContext& context);

}  // namespace niwaki
