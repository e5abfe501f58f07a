#pragma once

#include "compress/pass.h"

namespace niwaki {

enum class ChannelImportance { automatic, magnitude, obs, taylor };
constexpr auto names(ChannelImportance) { return std::array{"auto", "magnitude", "obs", "taylor"}; }

struct PruneChannelsOptions {
  double macs_ratio = 1;
  double sparsity = 0;
  double latency_ratio = 1;
  ChannelImportance importance = ChannelImportance::automatic;
  bool refit = true;
  int round_to = 0;
  int stages = 24;
  bool whole_heads = false, allow_approximate = false;
  void validate() const;
  Needs needs() const;
  static constexpr auto fields() {
    using O = PruneChannelsOptions;
    return std::tuple{
        field("macs_ratio", &O::macs_ratio, "multiply-accumulates left, of the original's").between(0, 1),
        field("sparsity", &O::sparsity, "share of the weights of linear nodes that goes").between(0, 1),
        field("latency_ratio", &O::latency_ratio, "time left by the target's cost table, of the original's").between(0, 1),
        field("importance", &O::importance, "what a channel is worth: auto is obs, and magnitude without calibration data"),
        field("refit", &O::refit, "repair what is left by least squares"),
        field("round_to", &O::round_to, "widths that are cut are multiples of it; 0: 8, or less where 8 cannot reach the target").between(0, 256),
        field("stages", &O::stages, "steps of the repair, each on what the nodes before it then compute").between(1, 1000),
        field("whole_heads", &O::whole_heads, "attention loses heads; else every head loses the same features"),
        field("allow_approximate", &O::allow_approximate, "let channels go that a norm averages over: its statistics change")};
  }
};

/// Removes whole channels, neurons, heads and hidden units: smaller weights, no masks, the same interface. Widths are chosen
/// from loss curves of structured OBS, weighted by how much the answer depends on each node, under a budget of
/// multiply-accumulates, of weights or of time on the target; then every linear node behind a cut is fitted to the original's outputs.
///   before   h = Relu(Conv(x, w [64, 3, 3, 3]))   y = Conv(h, v [64, 64, 3, 3])
///   after    h = Relu(Conv(x, w [24, 3, 3, 3]))   y = Conv(h, v [64, 24, 3, 3])
/// Skips what no rule proves removable. E3210 where the target cannot be reached.
void prune_channels(Graph& graph, const PruneChannelsOptions& options, PassContext& context);

}  // namespace niwaki
