#include "compress/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "compress/error.h"

namespace niwaki {
namespace {

FileIdentity identity_from(const struct stat& status) {
  return {static_cast<uint64_t>(status.st_dev), static_cast<uint64_t>(status.st_ino),
          static_cast<uint64_t>(status.st_size),
          status.st_mtim.tv_sec * int64_t{1'000'000'000} + status.st_mtim.tv_nsec};
}

[[noreturn]] void throw_unreadable(const std::string& path, int error) {
  const std::string name = printable(path);
  if (error == ENOENT || error == ENOTDIR) {
    throw EnvironmentError("E4004", cat("no such file: '", name, "'"),
                           {.help = "check the spelling and the current directory"});
  }
  throw EnvironmentError("E4007", cat("cannot read '", name, "'"),
                         {.found = std::generic_category().message(error),
                          .help = "check the permissions of the file and its directories"});
}

/// Closes the descriptor unless it was handed on.
struct Descriptor {
  int value;
  ~Descriptor() {
    if (value >= 0) ::close(value);
  }
  int release() { return std::exchange(value, -1); }
};

int open_readable(const std::string& path) {
  if (path.find('\0') != std::string::npos) throw_unreadable(path, ENOENT);
  // O_NONBLOCK: a pipe without a writer must not hang the run
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (descriptor < 0) throw_unreadable(path, errno);
  return descriptor;
}

FileIdentity require_regular(int descriptor, const std::string& path) {
  struct stat status{};
  if (::fstat(descriptor, &status) != 0) throw_unreadable(path, errno);
  if (S_ISREG(status.st_mode)) return identity_from(status);
  throw EnvironmentError(
      "E4007",
      cat("cannot read '", printable(path), "': it is ",
          S_ISDIR(status.st_mode) ? "a directory" : "not a regular file"),
      {.help = "name a file; what comes through a pipe must be saved to one first"});
}

}  // namespace

FileIdentity identity_of(const std::string& path) {
  struct stat status{};
  return ::stat(path.c_str(), &status) == 0 ? identity_from(status) : FileIdentity{};
}

std::shared_ptr<const MappedFile> MappedFile::open(const std::string& path) {
  return map(open_readable(path), path);
}

std::shared_ptr<const MappedFile> MappedFile::from_descriptor(int descriptor, std::string path) {
  // `path` need not be where the file was found: a link may have led there
  char place[4096];
  const ssize_t length = ::readlink(cat("/proc/self/fd/", descriptor).c_str(), place, sizeof place);
  const std::string watched = length > 0 ? std::string(place, static_cast<size_t>(length)) : path;
  const auto file = map(descriptor, std::move(path));
  if (identity_of(watched) == file->identity_) file->watched_ = watched;
  return file;
}

std::shared_ptr<MappedFile> MappedFile::map(int descriptor, std::string path) {
  const Descriptor owner{descriptor};
  std::shared_ptr<MappedFile> file(new MappedFile);
  file->identity_ = require_regular(descriptor, path);
  file->path_ = file->watched_ = std::move(path);
  const uint64_t size = file->identity_.size;
  if (size == 0) return file;
  void* data = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor, 0);
  if (data == MAP_FAILED) throw_unreadable(file->path_, errno);
  file->bytes_ = {static_cast<const std::byte*>(data), size};
  return file;
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

void MappedFile::require_unchanged() const {
  if (unchanged()) return;
  throw ModelError("E1901", cat("'", printable(path_), "' changed while it was used"),
                   {.help = "nothing was written; run again when nobody writes to the file"});
}

FileReader::FileReader(const std::string& path) : path_(path) {
  Descriptor owner{open_readable(path)};
  identity_ = require_regular(owner.value, path);
  descriptor_ = owner.release();
}

FileReader::~FileReader() { ::close(descriptor_); }

void FileReader::read_at(uint64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const size_t step = std::min<size_t>(out.size(), size_t{1} << 30);
    const ssize_t got = ::pread(descriptor_, out.data(), step, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw_unreadable(path_, errno);
    if (got == 0) {
      throw ModelError("E1901", cat("'", printable(path_), "' became shorter while it was read"),
                       {.where = cat("byte ", offset),
                        .found = cat("it had ", size(), " bytes when it was opened")});
    }
    offset += static_cast<uint64_t>(got);
    out = out.subspan(static_cast<size_t>(got));
  }
}

}  // namespace niwaki
