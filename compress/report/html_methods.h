#pragma once

#include "compress/json.h"

#include <string>

namespace niwaki {

/// What pruning, factorization and training did, a section each for those that ran.
std::string method_sections(const Json& report);

}  // namespace niwaki
