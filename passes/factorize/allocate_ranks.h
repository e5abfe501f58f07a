#pragma once

#include <cstddef>
#include <optional>
#include <vector>

namespace niwaki {

/// One way to store a unit: what it costs and what it loses. Options of a unit stand in any order.
struct RankOption {
  double cost = 0, loss = 0;
};

/// One option for each unit, of least summed loss among those whose summed cost is within the budget; nothing where the cheapest are
/// beyond it. Exact as long as at most `limit` sums matter (none is dearer and worse than another); beyond that, sums that cost almost
/// the same are merged, and the result is still within the budget. Ties: the cheaper, then the option that comes first.
std::optional<std::vector<size_t>> allocate_ranks(const std::vector<std::vector<RankOption>>& units, double budget, size_t limit = 4096);

}  // namespace niwaki
