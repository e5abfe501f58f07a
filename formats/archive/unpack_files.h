#pragma once

#include "formats/archive/unpack.h"

namespace niwaki::archive {

struct WrittenFiles {
  uint64_t model_bytes = 0;
  std::vector<std::string> data_paths;                        // beside the model, under the names that it knows
};

/// Writes the model that an archive holds, the same bytes as were packed, and its data files beside it, which take their names
/// first. E2010 where a file exists and `force` is not given, or would be written twice.
WrittenFiles unpack_files(const std::string& archive, const std::string& output, const Limits& limits, bool force);

}  // namespace niwaki::archive
