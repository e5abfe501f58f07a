#pragma once

#include <cstddef>
#include <functional>
#include <set>
#include <vector>

namespace niwaki {

using BlockSet = std::set<size_t>;

/// What is asked about sets of blocks that are taken out.
struct BlockCosts {
  std::function<double(const BlockSet&)> left;             // of what is to be saved; cheap
  /// Of the answers; a run of the model, on few samples where a rough number will do.
  std::function<double(const BlockSet&, bool is_rough)> divergence;
};

struct BlockChoice {
  BlockSet removed;
  std::vector<std::pair<size_t, double>> order;  // as they went, with the divergence that the step added
  bool is_reached = false;
};

/// Takes out the candidate (one block or a few) that adds the least divergence per unit saved, until at most `budget` is left.
/// All are measured roughly first; later only those that looked best, up to `retries` a step. Where
/// another comes close to the best, both are measured exactly. What turns out not to be needed comes
/// back.
BlockChoice choose_blocks(const std::vector<BlockSet>& candidates, double budget, size_t retries, const BlockCosts& costs);

}  // namespace niwaki
