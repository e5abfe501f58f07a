#pragma once

#include "compress/pass.h"

namespace niwaki {

struct TuneBlocksOptions {
  int64_t steps = 200;
  double lr = 1e-3;
  int64_t batch = 32;
  double mix = 0.5, hold_out = 0.2;
  void validate() const {}
  Needs needs() const { return {.calibration = true}; }
  static constexpr auto fields() {
    using O = TuneBlocksOptions;
    return std::tuple{
        field("steps", &O::steps, "updates per block").between(1, 1e6),
        field("lr", &O::lr, "learning rate at its highest").between(1e-12, 1e3),
        field("batch", &O::batch, "samples per update").between(1, 1e6),
        field("mix", &O::mix, "share of the samples of an update that enter the block as the teacher's do").between(0, 1),
        field("hold_out", &O::hold_out, "share of the samples, at most 1000, that decide whether a block's update is kept").between(0.01, 0.9)};
  }
};

/// Trains one block after the other (a residual block, a layer of a transformer, a stretch of a chain) to give what the teacher's
/// block of the same name gives, on calibration samples without labels (BRECQ 2102.05426). Samples enter a block as the tuned
/// blocks before it hand them on, or, drawn anew in every epoch, as the teacher's do (QDrop 2203.05740). Zeros of pruned weights
/// stay. A block's update is kept only where it lowers the error of samples that were held out. E2014 without a teacher or
/// samples, E3322 where no value has a namesake in the teacher.
void tune_blocks(Graph& graph, const TuneBlocksOptions& options, PassContext& context);

}  // namespace niwaki
