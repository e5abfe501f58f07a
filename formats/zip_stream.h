#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "formats/zip.h"

namespace niwaki {

/// Reads one zip entry from front to back in flat memory; at its end size and CRC have been
/// checked. The file and the entry must outlive it.
class ZipStream {
 public:
  ZipStream(const FileReader& file, const ZipEntry& entry);
  ~ZipStream();

  /// Fills `out`; throws E1602 where the data end before, E1607 where the CRC of the whole is
  /// wrong.
  void read(std::span<std::byte> out);
  void skip(uint64_t count);
  uint64_t position() const { return position_; }

 private:
  struct Inflater;
  bool refill();
  void inflate(std::span<std::byte> out);
  void require_inflated();
  void require_end();
  const FileReader& file_;
  const ZipEntry& entry_;
  uint64_t position_ = 0;
  uint32_t crc_ = 0;
  bool checked_ = false;
  std::unique_ptr<Inflater> inflater_;  // null for stored entries
};

}  // namespace niwaki
