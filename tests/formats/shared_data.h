#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

namespace niwaki {

/// The folder of real models and data: NIWAKI_SHARED_DATA, else ../shared/data beside the sources.
inline std::filesystem::path shared_data() {
  const char* given = std::getenv("NIWAKI_SHARED_DATA");
  if (given != nullptr && *given != '\0') return given;
  const char* source = std::getenv("NIWAKI_SOURCE_DIR");
  return std::filesystem::path(source != nullptr ? source : ".") / ".." / "shared" / "data";
}

}  // namespace niwaki
