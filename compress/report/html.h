#pragma once

#include "compress/json.h"

#include <string>

namespace niwaki {

/// One page without scripts and outside addresses, light and dark; sections for the parts that
/// `report` has.
std::string html(const Json& report);

}  // namespace niwaki
