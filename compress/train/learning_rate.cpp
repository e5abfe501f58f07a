#include "compress/train/learning_rate.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace niwaki {

double learning_rate_share(Schedule schedule, double warm_up, int64_t step, int64_t steps) {
  const auto rising = static_cast<int64_t>(std::floor(warm_up * static_cast<double>(steps)));
  if (step < rising) return static_cast<double>(step + 1) / static_cast<double>(rising + 1);
  const auto left = static_cast<double>(std::max<int64_t>(steps - rising, 1));
  const double done = std::clamp(static_cast<double>(step - rising) / left, 0.0, 1.0);
  switch (schedule) {
    case Schedule::cosine: return 0.5 * (1 + std::cos(std::numbers::pi * done));
    case Schedule::step: return done < 0.5 ? 1 : done < 0.75 ? 0.1 : 0.01;
    case Schedule::constant: return 1;
  }
  return 1;
}

}  // namespace niwaki
