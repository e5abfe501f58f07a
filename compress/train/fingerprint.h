#pragma once

#include "compress/train/trainer.h"

namespace niwaki {

/// SHA-256 of all that decides what a training gives: the model, what is trained, the options, the first, middle and last
/// samples of the data, and the versions and the instruction set that compute.
std::string training_fingerprint(const Graph& graph, const Dataset& data, const Training& training, const TrainerOptions& options);

}  // namespace niwaki
