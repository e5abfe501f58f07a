#pragma once

#include "compress/tensor.h"

#include <functional>
#include <string>

namespace niwaki {

/// Processes that train one model together, each on its part of every batch (algorithms.md 7.7). All of them run the same job;
/// the first one writes what comes of it.
struct ProcessGroup {
  int rank = 0, size = 1;
  std::function<void(const Tensor&)> all_reduce;                    // in place: the sum over the processes, the same bits in each
  std::function<std::string(const std::string&)> broadcast;         // what the first process gave

  bool is_first() const { return rank == 0; }
};

}  // namespace niwaki
