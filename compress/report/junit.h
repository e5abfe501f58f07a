#pragma once

#include "compress/json.h"

#include <string>

namespace niwaki {

/// junit.xml: one test case per gate; missed is a failure, not measured an error, informational or
/// accepted is skipped.
std::string junit(const Json& report);
/// report.csv: one row per node.
std::string csv(const Json& report);

}  // namespace niwaki
