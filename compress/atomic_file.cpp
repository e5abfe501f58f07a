#include "compress/atomic_file.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/random.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <system_error>

#include "compress/error.h"
#include "compress/mapped_file.h"

namespace niwaki {
namespace {

namespace fs = std::filesystem;

std::string directory_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

std::string name_of_path(const std::string& path) { return path.substr(path.rfind('/') + 1); }

/// The start of the names of all part files of an output; a file name has at most 255 bytes.
std::string part_prefix(const std::string& path) {
  return "." + name_of_path(path).substr(0, 200) + ".";
}

std::string random_hex() {
  uint64_t number = 0;
  if (::getrandom(&number, sizeof number, 0) != sizeof number) {
    number = static_cast<uint64_t>(reinterpret_cast<uintptr_t>(&number));
  }
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(number));
  return text;
}

uint64_t free_bytes(const std::string& directory) {
  struct statvfs status{};
  if (::statvfs(directory.c_str(), &status) != 0) return 0;
  return static_cast<uint64_t>(status.f_bavail) * status.f_frsize;
}

[[noreturn]] void throw_missing_directory(const std::string& path) {
  throw EnvironmentError("E4003",
                         cat("the directory of the output '", printable(path), "' does not exist"),
                         {.help = cat("create it with `mkdir -p`, or add `--mkdir`: '",
                                      printable(directory_of(path)), "'")});
}

/// fsync, where the file system knows it.
int sync_descriptor(int descriptor) {
  while (::fsync(descriptor) != 0) {
    if (errno == EINVAL || errno == ENOSYS || errno == ENOTSUP) return 0;
    if (errno != EINTR) return errno;
  }
  return 0;
}

/// The process that made a part file, 0 where the name is none.
int pid_of_part(const std::string& name, const std::string& prefix) {
  if (!name.starts_with(prefix) || !name.ends_with(".part")) return 0;
  int pid = 0;
  const char* begin = name.data() + prefix.size();
  const char* end = name.data() + name.size() - 5;
  const auto [rest, error] = std::from_chars(begin, end, pid);
  const bool complete = error == std::errc() && end - rest == 17 && *rest == '.' && pid > 0;
  if (!complete) return 0;
  return std::all_of(rest + 1, end,
                     [](char c) { return std::isxdigit(static_cast<unsigned char>(c)); })
             ? pid
             : 0;
}

void remove_stale_parts(const std::string& path) {
  std::error_code ignored;
  const std::string prefix = part_prefix(path);
  for (fs::directory_iterator entry(directory_of(path), ignored), end; !ignored && entry != end;
       entry.increment(ignored)) {
    const std::string name = entry->path().filename().string();
    const int pid = pid_of_part(name, prefix);
    if (pid > 0 && ::kill(pid, 0) != 0 && errno == ESRCH) ::unlink(entry->path().c_str());
  }
}

bool same_file(const std::string& a, const std::string& b) {
  const FileIdentity left = identity_of(a), right = identity_of(b);
  if (left.inode != 0 && left.inode == right.inode && left.device == right.device) return true;
  std::error_code ignored;
  const fs::path full = fs::weakly_canonical(a, ignored);
  return !full.empty() && full == fs::weakly_canonical(b, ignored);
}

}  // namespace

AtomicFile::AtomicFile(std::string path) : path_(std::move(path)) {
  const std::string directory = directory_of(path_);
  part_ = cat(directory == "/" ? "" : directory, "/", part_prefix(path_), ::getpid(), ".",
              random_hex(), ".part");
  do {
    descriptor_ = ::open(part_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
  } while (descriptor_ < 0 && errno == EINTR);
  if (descriptor_ >= 0) return;
  if (errno == ENOENT || errno == ENOTDIR) throw_missing_directory(path_);
  fail(errno, 0);
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!committed_) ::unlink(part_.c_str());
}

void AtomicFile::fail(int error, uint64_t more) const {
  const std::string directory = directory_of(path_);
  if (error == ENOSPC || error == EDQUOT) {
    throw EnvironmentError(
        "E4001", cat("not enough disk space for '", printable(path_), "'"),
        {.found = cat("needed at least ", bytes_text(size_ + more), ", free ",
                      bytes_text(free_bytes(directory) + size_), " in '", printable(directory),
                      "'; an existing file is unchanged"),
         .help = "free some space, or write to another disk, then run the same command again"});
  }
  throw EnvironmentError(
      "E4009", cat("cannot write '", printable(path_), "'"),
      {.found = cat(std::generic_category().message(error), "; an existing file is unchanged"),
       .help = "check the permissions and the state of the disk"});
}

void AtomicFile::reserve(uint64_t bytes) {
  if (bytes == 0 ||
      ::fallocate(descriptor_, FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(bytes)) == 0) {
    return;
  }
  if (errno == ENOSPC || errno == EDQUOT || errno == EFBIG) fail(errno, bytes);
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  if (descriptor_ < 0) throw InternalError("an output file was written after it was closed");
  synced_ = false;
  while (!bytes.empty()) {
    const size_t step = std::min<size_t>(bytes.size(), size_t{1} << 30);
    const ssize_t done = ::write(descriptor_, bytes.data(), step);
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) fail(done < 0 ? errno : EIO, bytes.size());
    size_ += static_cast<uint64_t>(done);
    bytes = bytes.subspan(static_cast<size_t>(done));
  }
}

void AtomicFile::sync() {
  if (synced_) return;
  if (const int error = sync_descriptor(descriptor_)) fail(error, 0);
  synced_ = true;
}

void AtomicFile::close() {
  const int descriptor = std::exchange(descriptor_, -1);
  // after EINTR the descriptor is gone on Linux, and what was written is on the disk already
  if (descriptor >= 0 && ::close(descriptor) != 0 && errno != EINTR) fail(errno, 0);
}

void AtomicFile::commit() {
  sync();
  close();
  if (::rename(part_.c_str(), path_.c_str()) != 0) fail(errno, 0);
  committed_ = true;
  const int directory = ::open(directory_of(path_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return;  // not readable, but writable: the rename itself has happened
  const int error = sync_descriptor(directory);
  ::close(directory);
  if (error != 0) fail(error, 0);
}

void write_file(const std::string& path, std::span<const std::byte> bytes) {
  AtomicFile file(path);
  file.reserve(bytes.size());
  file.write(bytes);
  file.commit();
}

void write_file(const std::string& path, const std::string& text) {
  write_file(path, std::as_bytes(std::span(text)));
}

void require_writable_output(const std::string& path, const std::vector<std::string>& inputs,
                             bool force, bool make_directories) {
  const std::string shown = printable(path);
  if (path.empty() || path.ends_with('/')) {
    throw UsageError("E2009", cat("the output '", shown, "' is not a file name"),
                     {.help = "add a file name, such as 'small.onnx'"});
  }
  for (const std::string& input : inputs) {
    if (!same_file(path, input)) continue;
    throw UsageError("E2010", cat("the output '", shown, "' is one of the inputs"),
                     {.help = "choose another output; inputs are never changed"});
  }
  const std::string directory = directory_of(path);
  std::error_code error;
  if (make_directories) fs::create_directories(directory, error);
  if (!fs::is_directory(directory, error)) throw_missing_directory(path);
  if (fs::is_directory(path, error)) {
    throw UsageError("E2009", cat("the output '", shown, "' is a directory"),
                     {.help = cat("name a file in it: '", shown, "/small.onnx'")});
  }
  if (!force && fs::exists(fs::symlink_status(path, error))) {
    throw UsageError("E2009", cat("the output '", shown, "' exists"),
                     {.help = "add `--force` to replace it, or choose another name"});
  }
  remove_stale_parts(path);
}

std::string bytes_text(uint64_t bytes) {
  if (bytes < 1000) return cat(bytes, " bytes");
  double value = static_cast<double>(bytes);
  const char* unit = "";
  for (const char* next : {"kB", "MB", "GB", "TB", "PB"}) {
    if (value < 999.95) break;
    value /= 1000;
    unit = next;
  }
  char text[32];
  std::snprintf(text, sizeof text, value < 100 ? "%.1f %s" : "%.0f %s", value, unit);
  return text;
}

}  // namespace niwaki
