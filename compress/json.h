#pragma once

#include <nlohmann/json_fwd.hpp>

namespace niwaki {

/// Options, reports and recipes as values; keys are sorted, so that the text is stable.
using Json = nlohmann::json;

}  // namespace niwaki
