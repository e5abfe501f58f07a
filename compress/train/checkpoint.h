#pragma once

#include "compress/train/optimizer.h"

#include <optional>
#include <string>

namespace niwaki {

struct ProcessGroup;

/// All that training goes on from; tensors are its own.
struct TrainState {
  int64_t step = 0, restarts = 0, best_epoch = 0, bad_epochs = 0;
  bool is_done = false;                      // stopped early
  double rate_share = 1;                     // halved by every restart
  double loss_sum = 0, loss_weight = 0;      // of the epoch so far
  double validation_before = 0, best_loss = 0;
  std::vector<double> history;               // train, validation, learning rate of the epochs
  std::vector<Tensor> weights, average, best;   // best: empty until something is better than the start
  std::vector<Tensor> masks, behind;         // of the weights whose masks may move; `behind` is empty once they move no more
  Moments moments;
};

/// A copy that shares nothing that is changed in place.
TrainState copy_of(const TrainState& state);

/// Writes a state atomically, with a digest over all of it.
void save_checkpoint(const std::string& path, const std::string& fingerprint, const TrainState& state);
/// Nothing where there is no file, or one of another training or a damaged one: `why` then says so. In a group all take the
/// first process's.
std::optional<TrainState> load_checkpoint(const std::string& path, const std::string& fingerprint, std::string& why, const ProcessGroup* group = nullptr);

}  // namespace niwaki
