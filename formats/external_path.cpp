#include "formats/external_path.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cctype>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

#include "compress/error.h"

namespace niwaki {
namespace {

constexpr int kReadFlags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;

class Descriptor {
 public:
  explicit Descriptor(int value = -1) : value_(value) {}
  Descriptor(Descriptor&& other) noexcept : value_(std::exchange(other.value_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(value_, other.value_);
    return *this;
  }
  ~Descriptor() {
    if (value_ >= 0) ::close(value_);
  }
  int get() const { return value_; }
  int release() { return std::exchange(value_, -1); }

 private:
  int value_;
};

std::string directory_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

std::string last_name(const std::string& path) { return path.substr(path.rfind('/') + 1); }

/// The path with every link resolved; nothing where it does not exist.
std::optional<std::string> real_path(const std::string& path) {
  const std::unique_ptr<char, decltype(&std::free)> text(::realpath(path.c_str(), nullptr),
                                                         &std::free);
  return text ? std::optional<std::string>(text.get()) : std::nullopt;
}

/// Why a location is no path below a directory; empty where it is one.
std::string lexical_fault(std::string_view location) {
  if (location.empty()) return "it is empty";
  if (location.size() > 1024) return "it has more than 1,024 bytes";
  if (location.starts_with("*/_ORT_MEM_ADDR_"))
    return "it is a private mark of a runtime, not a file";
  if (location.front() == '/') return "it is absolute";
  if (location.size() > 1 && location[1] == ':' &&
      std::isalpha(static_cast<unsigned char>(location[0])))
    return "it names a drive";
  for (char c : location) {
    if (c == '\\') return "it has a backslash";
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return "it has a control character";
  }
  std::string_view rest = location;
  while (true) {
    const size_t slash = rest.find('/');
    const std::string_view part = rest.substr(0, slash);
    if (part.empty()) return "it has an empty component";
    if (part == "..") return "it climbs with '..'";
    if (slash == rest.npos) return part == "." ? "it names a directory" : "";
    rest.remove_prefix(slash + 1);
  }
}

/// Component by component, for kernels and container filters without openat2.
Descriptor open_by_components(int directory, std::string_view location) {
  Descriptor current(::fcntl(directory, F_DUPFD_CLOEXEC, 0));
  while (true) {
    const size_t slash = location.find('/');
    const std::string part(location.substr(0, slash));
    const bool last = slash == location.npos;
    const int flags = last ? kReadFlags | O_NOFOLLOW : O_PATH | O_CLOEXEC | O_NOFOLLOW;
    Descriptor next(::openat(current.get(), part.c_str(), flags));
    if (next.get() < 0 || last) return next;
    struct stat status{};
    if (::fstat(next.get(), &status) != 0) return Descriptor();
    if (!S_ISDIR(status.st_mode)) {
      errno = S_ISLNK(status.st_mode) ? ELOOP : ENOTDIR;
      return Descriptor();
    }
    current = std::move(next);
    location.remove_prefix(slash + 1);
  }
}

/// Opens below a directory and never through a link; errno is ELOOP where there is one.
Descriptor open_below(const std::string& directory, const std::string& location) {
  const Descriptor base(::open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (base.get() < 0) return Descriptor();
  open_how how{};
  how.flags = kReadFlags;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  Descriptor file(
      static_cast<int>(::syscall(SYS_openat2, base.get(), location.c_str(), &how, sizeof how)));
  const bool lacking =
      file.get() < 0 && (errno == ENOSYS || errno == EPERM || errno == EINVAL || errno == EAGAIN);
  return lacking ? open_by_components(base.get(), location) : std::move(file);
}

class Opener {
 public:
  Opener(const std::string& model_path, const std::string& location, const PathPolicy& policy,
         const std::string& subject)
      : model_path_(model_path), location_(location), policy_(policy), subject_(subject) {}

  int open();

 private:
  Descriptor open_anywhere();
  Descriptor open_in(const std::string& directory);
  Descriptor follow(const std::string& directory);
  void require_plain_file(int descriptor);
  [[noreturn]] void fail(const char* code, const std::string& cause, const std::string& found,
                         const std::string& help) const;
  [[noreturn]] void fail_open(int error) const;

  const std::string& model_path_;
  const std::string& location_;
  const PathPolicy& policy_;
  const std::string& subject_;
  std::string first_,
      second_;  // the directory as typed; that of the real file, where the model is a link
};

int Opener::open() {
  if (const std::string fault = lexical_fault(location_); !fault.empty()) {
    fail("E1201", "external data path leaves the model's directory",
         cat("found '", printable(location_), "' (", fault,
             "); needed a file below the model's directory, such as 'weights.bin'"),
         cat("do not trust this file. If it is yours, put the data beside the model and run "
             "`niwaki check ",
             printable(model_path_), " --fix fixed.onnx`"));
  }
  first_ = directory_of(model_path_);
  struct stat status{};
  if (::lstat(model_path_.c_str(), &status) == 0 && S_ISLNK(status.st_mode)) {
    if (const auto real = real_path(model_path_)) second_ = directory_of(*real);
  }
  Descriptor file = open_anywhere();
  require_plain_file(file.get());
  return file.release();
}

Descriptor Opener::open_anywhere() {
  Descriptor file = open_in(first_);
  if (file.get() < 0 && errno == ENOENT && !second_.empty()) file = open_in(second_);
  if (file.get() < 0) fail_open(errno);
  return file;
}

Descriptor Opener::open_in(const std::string& directory) {
  Descriptor file = open_below(directory, location_);
  return file.get() < 0 && errno == ELOOP ? follow(directory) : std::move(file);
}

/// There is a link on the way: allowed by the user, or as in a download cache, where model and data
/// are links into one directory.
Descriptor Opener::follow(const std::string& directory) {
  const std::string path = directory + "/" + location_;
  if (policy_.allow_symlinks) return Descriptor(::open(path.c_str(), kReadFlags));
  if (!second_.empty()) {
    const auto target = real_path(path);
    if (!target) return Descriptor();
    if (directory_of(*target) == second_) return open_below(second_, last_name(*target));
  }
  fail("E1202", "external data is reached through a symbolic link",
       cat("'", printable(path), "' ",
           second_.empty() ? "is a link or lies behind one"
                           : "does not lead to the directory of the real model file"),
       "copy the data beside the model, or add `--allow-symlinks` if you made the link");
}

void Opener::require_plain_file(int descriptor) {
  struct stat status{};
  if (::fstat(descriptor, &status) != 0) fail_open(errno);
  if (!S_ISREG(status.st_mode)) {
    fail("E1203", "external data is not a regular file",
         cat("'", printable(location_), "' is ",
             S_ISDIR(status.st_mode) ? "a directory" : "a device or a pipe"),
         "put the data file beside the model");
  }
  if (status.st_nlink > 1 && !policy_.allow_hardlinks) {
    fail("E1203", "external data has another name elsewhere (a hard link)",
         cat("'", printable(location_), "' has ", status.st_nlink,
             " names; some package installers make such links"),
         "copy the data file, or add `--allow-hardlinks` if you know where it comes from");
  }
}

void Opener::fail(const char* code, const std::string& cause, const std::string& found,
                  const std::string& help) const {
  throw ModelError(code, cause,
                   {.where = cat(printable(model_path_), subject_.empty() ? "" : ", " + subject_,
                                 ", external_data.location"),
                    .found = found,
                    .help = help});
}

void Opener::fail_open(int error) const {
  const std::string tried = cat("tried '", printable(first_), "'",
                                second_.empty() ? "" : cat(" and '", printable(second_), "'"));
  if (error == ENOENT || error == ENOTDIR || error == ENAMETOOLONG) {
    fail("E1208", cat("external data file '", printable(location_), "' is missing"), tried,
         "copy it beside the model; it belongs to it");
  }
  if (error == ELOOP || error == EXDEV)
    fail("E1202", "external data is reached through a symbolic link", tried,
         "copy the data beside the model");
  if (error == ENXIO || error == ENODEV)
    fail("E1203", "external data is not a regular file", tried,
         "put the data file beside the model");
  throw EnvironmentError("E4007", cat("cannot read external data '", printable(location_), "'"),
                         {.where = printable(model_path_),
                          .found = cat(std::generic_category().message(error), "; ", tried),
                          .help = "check the permissions of the file and its directories"});
}

}  // namespace

int open_external(const std::string& model_path, const std::string& location,
                  const PathPolicy& policy, const std::string& subject) {
  return Opener(model_path, location, policy, subject).open();
}

std::string external_display_path(const std::string& model_path, const std::string& location) {
  const std::string directory = directory_of(model_path);
  return directory == "." ? location : cat(directory == "/" ? "" : directory, "/", location);
}

}  // namespace niwaki
