#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace niwaki {

/// A file that appears under its name complete and durable, or not at all.
class AtomicFile {
 public:
  /// Starts `.name.<pid>.<random>.part` in the directory of `path`.
  explicit AtomicFile(std::string path);
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  /// Removes the part file unless it was committed.
  ~AtomicFile();

  /// Reserves room for the whole file, where the file system can: a full disk is then known early.
  void reserve(uint64_t bytes);
  void write(std::span<const std::byte> bytes);
  void write(const std::string& text) { write(std::as_bytes(std::span(text))); }
  /// Puts all that was written on the disk, so that the part file can be read back and verified.
  void sync();
  /// sync(), then the rename that nobody can see half of, then the directory on the disk.
  void commit();
  const std::string& path() const { return path_; }
  const std::string& path_of_part() const { return part_; }
  uint64_t size() const { return size_; }

 private:
  void close();
  [[noreturn]] void fail(int error, uint64_t more) const;
  std::string path_, part_;
  int descriptor_ = -1;
  uint64_t size_ = 0;
  bool synced_ = false, committed_ = false;
};

/// Writes a whole file atomically.
void write_file(const std::string& path, std::span<const std::byte> bytes);
void write_file(const std::string& path, const std::string& text);

/// Refuses, before any work, an output that exists (E2009), is an input (E2010) or has no directory
/// (E4003); removes part files that dead processes left for it.
void require_writable_output(const std::string& path, const std::vector<std::string>& inputs,
                             bool force, bool make_directories);

/// "3.9 GB", "257 MB", "14.2 kB": decimal units.
std::string bytes_text(uint64_t bytes);

}  // namespace niwaki
