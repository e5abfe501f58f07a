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

/// First and number of what this process takes of `all` things that stand in a row; without a group all of them.
inline std::pair<int64_t, int64_t> own_part(int64_t all, const ProcessGroup* group) {
  if (group == nullptr) return {0, all};
  const int64_t first = all * group->rank / group->size;
  return {first, all * (group->rank + 1) / group->size - first};
}

}  // namespace niwaki
