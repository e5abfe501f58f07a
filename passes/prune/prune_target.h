#pragma once

#include <string>

namespace niwaki {

/// How much a pass that removes whole parts shall leave: a share of the multiply-accumulates, of the weights, or of the time that
/// the target's cost table gives.
struct PruneTarget {
  double macs_ratio = 1, sparsity = 0, latency_ratio = 1;   // exactly one is set

  bool counts_macs() const { return macs_ratio < 1; }
  bool counts_time() const { return latency_ratio < 1; }
  double share_left() const { return counts_macs() ? macs_ratio : counts_time() ? latency_ratio : 1 - sparsity; }
  /// Of `present`, which counts the graph as the pass got it; `original_macs` counts the model as it was read, 0: not known.
  double whole(double present, double original_macs) const { return counts_macs() && original_macs > 0 ? original_macs : present; }
  double budget(double whole) const { return whole * share_left() * (1 + 1e-9); }
};

/// E2008, E2013 or E2017 unless exactly one target is given, in its range; `parts` is what goes: "channels".
void require_one_target(const PruneTarget& target, const std::string& parts);
/// E3210 with the nearest target that can be reached; `left` is the least share that can be, `available` what may go.
[[noreturn]] void refuse_target(const PruneTarget& target, double left, const std::string& available, const std::string& help);

}  // namespace niwaki
