#pragma once

#include <string>

#include "formats/archive/bytes.h"
#include "formats/limits.h"

namespace niwaki::archive {

/// A file beside the model that its external data lie in.
struct SideFile {
  std::string name;
  uint64_t bytes = 0;
};

/// Where a stream's bytes go in the original, which is the model followed by its side files.
struct Placement {
  uint64_t offset = 0;
  uint32_t stream = 0;
};

/// A coded part of the original.
struct Stream {
  uint64_t bytes = 0;                        // decoded
  ByteView coded;
};

/// Everything an archive holds; stream 0 is what lies outside the placements.
struct Contents {
  std::string sha256;                        // of the original, 64 hexadecimal digits
  uint64_t model_bytes = 0;
  std::vector<SideFile> side_files;
  std::vector<Stream> streams;
  std::vector<Placement> placements;         // ascending, apart
  uint64_t original_bytes() const;
};

inline constexpr ByteView::size_type kMagicBytes = 8;
/// True for an archive, by its first bytes.
bool is_archive(ByteView bytes);

/// docs/archive.md has the layout.
Bytes write_container(const Contents& contents);
/// Views of `bytes`, with all that the index says checked: E1801 to E1803, E1805, and E1004 where the original would exceed the
/// limits `inflated_bytes` and `inflate_ratio`. Nothing is decoded yet.
Contents read_container(ByteView bytes, const Limits& limits);

}  // namespace niwaki::archive
