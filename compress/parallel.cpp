#include "compress/parallel.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

namespace niwaki {
namespace {

std::atomic<int> configured{0};

/// Results that wait for their turn, and the first failure.
struct Turns {
  std::mutex mutex;
  std::condition_variable changed;
  int64_t next_finish = 0;
  std::map<int64_t, std::exception_ptr> failures;
};

}  // namespace

void set_num_threads(int count) {
  configured = count;
  at::set_num_threads(1);
}

int num_threads() {
  const int count = configured;
  return count > 0 ? count : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

void ordered_for(int64_t count, const std::function<void(int64_t)>& work, const std::function<void(int64_t)>& finish) {
  Turns turns;
  std::atomic<int64_t> next{0};
  const auto serve = [&] {
    at::set_num_threads(1);                  // the setting is per thread in ATen's OpenMP build
    for (int64_t i = next++; i < count; i = next++) {
      std::exception_ptr failure;
      try {
        work(i);
      } catch (...) {
        failure = std::current_exception();
      }
      std::unique_lock lock(turns.mutex);
      turns.changed.wait(lock, [&] { return turns.next_finish == i; });
      try {
        if (failure) std::rethrow_exception(failure);
        if (turns.failures.empty() && finish) finish(i);
      } catch (...) {
        turns.failures.emplace(i, std::current_exception());
        next = count;                        // nobody starts more
      }
      turns.next_finish = i + 1;
      turns.changed.notify_all();
    }
  };
  std::vector<std::thread> others;
  const auto wanted = std::min<int64_t>(num_threads(), count);
  for (int64_t i = 1; i < wanted; ++i) others.emplace_back(serve);
  serve();
  for (std::thread& other : others) other.join();
  if (!turns.failures.empty()) std::rethrow_exception(turns.failures.begin()->second);
}

void parallel_for(int64_t count, const std::function<void(int64_t)>& work) { ordered_for(count, work, {}); }

}  // namespace niwaki
