#pragma once

#include "compress/pass.h"

namespace niwaki {

/// Every pass, in alphabetical order.
const PassTable& all_passes();

}  // namespace niwaki
