#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "compress/mapped_file.h"
#include "formats/limits.h"

namespace niwaki {

/// One file of a zip container; its name is a key, never a path.
struct ZipEntry {
  std::string name;
  bool deflated = false;
  uint64_t offset = 0;  // of its data in the container
  uint64_t compressed = 0, size = 0;
  uint32_t crc = 0;
};

/// What differs between the containers that are read.
struct ZipRules {
  bool gaps = false;         // bytes that belong to no entry
  bool value_names = false;  // names of values: '/fc/output' is one, and 'X' another than 'x'
};

/// The checked directory of a zip container (safety.md section 4.4); entries are in the order of
/// the directory.
class ZipFile {
 public:
  static std::shared_ptr<const ZipFile> open(const std::string& path, const Limits& limits,
                                             const ZipRules& rules = {});

  const std::vector<ZipEntry>& entries() const { return entries_; }
  /// Null where there is no such entry.
  const ZipEntry* find(const std::string& name) const;
  const FileReader& file() const { return file_; }
  /// Reads a range of a stored entry.
  void read_stored(const ZipEntry& entry, uint64_t offset, std::span<std::byte> out) const;
  /// Reads a whole entry of at most `most` bytes and checks its CRC.
  std::string read_all(const ZipEntry& entry, uint64_t most, const Limits& limits) const;
  /// Reads an entry once, in flat memory, to check its size and CRC.
  void verify(const ZipEntry& entry) const;

 private:
  explicit ZipFile(const std::string& path) : file_(path) {}
  friend class ZipDirectory;
  FileReader file_;
  std::vector<ZipEntry> entries_;
  std::map<std::string, size_t> index_;
};

}  // namespace niwaki
