#pragma once

#include <cstdint>

namespace niwaki {

enum class Schedule { cosine, step, constant };

/// Share of the base learning rate at a step: a linear rise over the first `warm_up` share of the steps, then a cosine to 0,
/// a tenth from the half and a hundredth from three quarters on, or 1.
double learning_rate_share(Schedule schedule, double warm_up, int64_t step, int64_t steps);

}  // namespace niwaki
