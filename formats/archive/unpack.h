#pragma once

#include "formats/archive/container.h"

namespace niwaki::archive {

/// The files that were packed, byte for byte.
struct Unpacked {
  Bytes original;                            // the model, then its side files
  uint64_t model_bytes = 0;
  std::vector<SideFile> side_files;
  std::span<const std::byte> model() const;
  std::span<const std::byte> side_file(size_t i) const;
};

/// E1801 to E1805 for what is no archive or a damaged one, E1004 for one that grows beyond the limits.
Unpacked unpack_bytes(ByteView archive, const Limits& limits);

}  // namespace niwaki::archive
