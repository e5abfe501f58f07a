#pragma once

#include "compress/ops/op_table.h"

namespace niwaki {

/// Changes of training images that keep their labels.
struct Augment {
  bool flip = false;                         // left and right, every other time
  int64_t crop = 0;                          // moves by up to so many pixels; what comes in is the image mirrored at its edge
  bool is_on() const { return flip || crop > 0; }
};

/// Inputs of rank 4, [N, C, H, W] or [N, H, W, C] (where only the last axis has 1, 3 or 4 channels), changed as drawn for
/// (seed, epoch, sample id), all in the same way; others as they are. Rows beyond `samples` stay.
RunValues augmented(const RunValues& inputs, std::span<const int64_t> samples, const Augment& augment, uint64_t seed, int64_t epoch);

}  // namespace niwaki
