#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace niwaki {

/// What tells one state of a file from another.
struct FileIdentity {
  uint64_t device = 0, inode = 0, size = 0;
  int64_t mtime_ns = 0;
  bool operator==(const FileIdentity&) const = default;
};

/// The identity of what `path` names now; all zero where there is nothing.
FileIdentity identity_of(const std::string& path);

/// A read-only map of a regular file; share it, and the bytes stay where they are.
class MappedFile {
 public:
  static std::shared_ptr<const MappedFile> open(const std::string& path);
  /// Takes over the descriptor; `path` is what messages say.
  static std::shared_ptr<const MappedFile> from_descriptor(int descriptor, std::string path);
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return bytes_; }
  const std::string& path() const { return path_; }
  const FileIdentity& identity() const { return identity_; }
  /// False once the file was replaced, written to or cut.
  bool unchanged() const { return identity_of(watched_) == identity_; }
  /// Throws E1901 unless unchanged().
  void require_unchanged() const;

 private:
  MappedFile() = default;
  static std::shared_ptr<MappedFile> map(int descriptor, std::string path);
  std::string path_, watched_;  // what messages say; where the file really is
  FileIdentity identity_;
  std::span<const std::byte> bytes_;
};

/// Reads ranges of a regular file without keeping any of it; threads may share one.
class FileReader {
 public:
  explicit FileReader(const std::string& path);
  FileReader(const FileReader&) = delete;
  FileReader& operator=(const FileReader&) = delete;
  ~FileReader();

  /// Fills `out` from byte `offset` on; a file that ends before is E1901: it was longer when it was
  /// opened.
  void read_at(uint64_t offset, std::span<std::byte> out) const;
  uint64_t size() const { return identity_.size; }
  const std::string& path() const { return path_; }
  const FileIdentity& identity() const { return identity_; }

 private:
  std::string path_;
  FileIdentity identity_;
  int descriptor_ = -1;
};

}  // namespace niwaki
