#include "compress/train/sample_order.h"

#include "compress/error.h"
#include "compress/random.h"

#include <algorithm>
#include <numeric>

namespace niwaki {
namespace {

void shuffle(std::vector<int64_t>& numbers, Generator generator) {
  for (size_t i = numbers.size(); i > 1; --i) std::swap(numbers[i - 1], numbers[generator.below(i)]);
}

}  // namespace

SampleOrder::SampleOrder(int64_t samples, double share, uint64_t seed) : seed_(seed), training_(static_cast<size_t>(samples)) {
  std::iota(training_.begin(), training_.end(), 0);
  auto count = std::min(kMostHeldOut, static_cast<int64_t>(share * static_cast<double>(samples)));
  if (count < kFewestHeldOut) count = 0;
  shuffle(training_, Generator(seed, "hold out"));
  held_out_.assign(training_.begin(), training_.begin() + count);
  training_.erase(training_.begin(), training_.begin() + count);
  std::sort(held_out_.begin(), held_out_.end());
  std::sort(training_.begin(), training_.end());
}

std::vector<int64_t> SampleOrder::epoch(int64_t index) const {
  std::vector<int64_t> order = training_;
  shuffle(order, Generator(seed_, cat("epoch ", index)));
  return order;
}

}  // namespace niwaki
