#pragma once

#include "compress/json.h"

#include <string>

namespace niwaki {

/// The table that ends a run: "done in 13.4 s", before and after, bytes, nodes, verification, what
/// was written, what next. Below 77 columns each row is stacked; `unicode` false gives ASCII;
/// `color` prints what got worse in red.
std::string terminal_table(const Json& report, int columns = 80, bool unicode = true,
                           bool color = false);

}  // namespace niwaki
