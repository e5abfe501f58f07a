#pragma once

#include <cstdint>
#include <functional>

namespace niwaki {

/// How many threads work at once; 0 asks for all cores. Results never depend on it.
void set_num_threads(int count);
int num_threads();

/// Runs work(i) for 0 <= i < count, on up to num_threads() threads, each with one of ATen's. The first exception, by i,
/// is thrown again after all have ended. What is summed must be summed by the caller, in the order of i.
void parallel_for(int64_t count, const std::function<void(int64_t)>& work);

/// Like parallel_for, and calls finish(i) in the order of i, one at a time, as early as possible; at most `ahead` results
/// wait. So sums over chunks are the same on any number of threads, in flat memory.
void ordered_for(int64_t count, const std::function<void(int64_t)>& work, const std::function<void(int64_t)>& finish);

}  // namespace niwaki
