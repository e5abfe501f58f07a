#pragma once

#include <cstdint>
#include <vector>

namespace niwaki {

/// Which samples train, in which order, and which are held out for the validation loss; drawn by the seed alone.
class SampleOrder {
 public:
  static constexpr int64_t kMostHeldOut = 1000, kFewestHeldOut = 8;

  /// Holds out `share` of the samples, at most 1000, and none where that would be fewer than 8.
  SampleOrder(int64_t samples, double share, uint64_t seed);
  const std::vector<int64_t>& held_out() const { return held_out_; }
  int64_t num_training() const { return static_cast<int64_t>(training_.size()); }
  /// The training samples in the order of this epoch.
  std::vector<int64_t> epoch(int64_t index) const;

 private:
  uint64_t seed_;
  std::vector<int64_t> held_out_, training_;   // sorted
};

}  // namespace niwaki
