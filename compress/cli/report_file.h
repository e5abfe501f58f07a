#pragma once

#include "compress/json.h"

#include <string>

namespace niwaki {

/// The report.json that a path means: itself, or that of a run directory.
std::string report_path(const std::string& path);
/// A report as read: E4004 where it is missing, E1806 where it is none.
Json read_report(const std::string& path);

}  // namespace niwaki
