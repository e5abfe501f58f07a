#include "compress/worker_process.h"

#include "compress/error.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

namespace niwaki {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

[[noreturn]] void fail_system(const std::string& doing) {
  throw EnvironmentError("E4006", cat("cannot ", doing, ": ", std::strerror(errno)));
}

/// Above stdin, stdout and stderr, so that the child's own cannot overwrite it.
OpenFile checked(int descriptor, const std::string& doing) {
  if (descriptor < 0) fail_system(doing);
  OpenFile file(descriptor);
  if (descriptor > 2) return file;
  return checked(fcntl(descriptor, F_DUPFD_CLOEXEC, 3), doing);
}

/// {read end, write end}.
std::pair<OpenFile, OpenFile> make_pipe() {
  int ends[2] = {-1, -1};
  if (pipe2(ends, O_CLOEXEC) != 0) fail_system("create a pipe");
  OpenFile first(ends[0]), second(ends[1]);
  if (ends[0] > 2 && ends[1] > 2) return {std::move(first), std::move(second)};
  return {checked(fcntl(ends[0], F_DUPFD_CLOEXEC, 3), "create a pipe"),
          checked(fcntl(ends[1], F_DUPFD_CLOEXEC, 3), "create a pipe")};
}

/// Nobody at the other end must not become a signal for the whole program.
void write_to_pipe(int pipe, std::string_view text) {
  sigset_t only, before;
  sigemptyset(&only);
  sigaddset(&only, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &only, &before);
  while (!text.empty()) {
    const ssize_t done = write(pipe, text.data(), text.size());
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) {
      const timespec now{};
      sigtimedwait(&only, nullptr, &now);
      break;
    }
    text.remove_prefix(done);
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

bool is_program(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored) && access(path.c_str(), X_OK) == 0;
}

std::vector<fs::path> path_directories() {
  const char* path = std::getenv("PATH");
  std::vector<fs::path> directories;
  std::string_view rest = path == nullptr ? "" : path;
  while (!rest.empty()) {
    const size_t length = std::min(rest.find(':'), rest.size());
    // A relative entry means the current folder, from which nothing is started.
    if (length > 0 && rest[0] == '/') directories.emplace_back(rest.substr(0, length));
    rest.remove_prefix(std::min(length + 1, rest.size()));
  }
  return directories;
}

/// The folder of the program as it was typed, then of the file it really is.
std::vector<fs::path> program_directories(const std::string& program) {
  fs::path typed = program;
  if (!typed.has_parent_path()) {
    for (const fs::path& directory : path_directories()) {
      if (program.empty() || !is_program(directory / program)) continue;
      typed = directory / program;
      break;
    }
  }
  if (!typed.has_parent_path()) return {};
  std::error_code ignored;
  return {fs::absolute(typed, ignored).parent_path(), fs::canonical(typed, ignored).parent_path()};
}

class SpawnSettings {
 public:
  SpawnSettings() {
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(
        &attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  }
  ~SpawnSettings() {
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
  }
  /// Onto itself, it only clears the flag that would close it.
  void hand_over(int descriptor, int as) {
    posix_spawn_file_actions_adddup2(&actions, descriptor, as);
  }

  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
};

}  // namespace

std::string find_python(const std::string& program) {
  const char* chosen = std::getenv("NIWAKI_PYTHON");
  if (chosen != nullptr && *chosen != '\0') return chosen;
  std::vector<fs::path> directories = program_directories(program);
  for (const fs::path& directory : path_directories()) directories.push_back(directory);
  for (const fs::path& directory : directories) {
    for (const char* name : {"python", "python3"}) {
      if (!directory.empty() && is_program(directory / name)) return (directory / name).string();
    }
  }
  return "";
}

OpenFile::~OpenFile() {
  if (descriptor_ >= 0) close(descriptor_);
}

SharedFile::SharedFile(const char* name)
    : file_(checked(memfd_create(name, MFD_CLOEXEC), "create a file in memory")) {}

void SharedFile::write(const void* data, size_t size, int64_t offset) const {
  const char* position = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t done = pwrite(file_.get(), position, size, offset);
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) fail_system("hand data to the runtime's process");
    position += done, offset += done, size -= done;
  }
}

void SharedFile::read(void* data, size_t size, int64_t offset) const {
  char* position = static_cast<char*>(data);
  while (size > 0) {
    const ssize_t done = pread(file_.get(), position, size, offset);
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) fail_system("read data of the runtime's process");
    position += done, offset += done, size -= done;
  }
}

int64_t SharedFile::size() const { return lseek(file_.get(), 0, SEEK_END); }

std::string SharedFile::path() const { return cat("/proc/self/fd/", file_.get()); }

WorkerProcess::WorkerProcess(const std::string& python, std::string_view script,
                             uint64_t memory_bytes)
    : python_(python), inputs_("inputs"), outputs_("outputs"), messages_("messages") {
  // The child looks for it from a folder of its own; links stay, a virtual environment is one.
  if (fs::path(python).has_parent_path()) python_ = fs::absolute(python).string();
  auto [requests_end, requests] = make_pipe();
  auto [answers, answers_end] = make_pipe();
  requests_ = std::move(requests);
  answers_ = std::move(answers);
  std::string name = (fs::temp_directory_path() / "niwaki-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) fail_system("create a temporary folder");
  directory_ = name;
  try {
    spawn(script, memory_bytes, requests_end, answers_end);
  } catch (const EnvironmentError&) {
    std::error_code ignored;
    fs::remove(directory_, ignored);
    throw;
  }
}

void WorkerProcess::spawn(std::string_view script, uint64_t memory_bytes,
                          const OpenFile& requests_end, const OpenFile& answers_end) {
  SharedFile script_file("script");
  script_file.write(script.data(), script.size(), 0);
  SpawnSettings settings;
  settings.hand_over(requests_end.get(), 0);
  settings.hand_over(answers_end.get(), 1);
  settings.hand_over(messages_.descriptor(), 2);
  for (const SharedFile* file : {&script_file, &inputs_, &outputs_}) {
    settings.hand_over(file->descriptor(), file->descriptor());
  }
  posix_spawn_file_actions_addchdir_np(&settings.actions, directory_.c_str());
  // Isolated: neither the current folder nor the environment decides what is imported.
  std::vector<std::string> words = {python_, "-I", "-B", script_file.path(), cat(memory_bytes)};
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  const int failure = posix_spawnp(&id_, python_.c_str(), &settings.actions, &settings.attributes,
                                   arguments.data(), environ);
  if (failure == 0) return;
  id_ = 0;
  errno = failure;
  fail_system(cat("start '", python_, "'"));
}

WorkerProcess::~WorkerProcess() {
  stop();
  std::error_code ignored;
  fs::remove_all(directory_, ignored);
}

void WorkerProcess::send(std::string line) {
  line += '\n';
  if (id_ != 0) write_to_pipe(requests_.get(), line);
}

WorkerProcess::Outcome WorkerProcess::receive(std::string& line, double timeout_seconds,
                                              const std::function<bool()>& stopped) {
  const auto deadline = Clock::now() + std::chrono::duration<double>(timeout_seconds);
  size_t searched = 0;
  while (id_ != 0) {
    const size_t end = received_.find('\n', searched);
    if (end != std::string::npos) {
      line = received_.substr(0, end);
      received_.erase(0, end + 1);
      return Outcome::line;
    }
    searched = received_.size();
    if (stopped && stopped()) return Outcome::stopped;
    if (Clock::now() >= deadline) return Outcome::timeout;
    pollfd ready{answers_.get(), POLLIN, 0};
    if (poll(&ready, 1, 100) <= 0) continue;
    char chunk[1 << 16];
    const ssize_t count = read(answers_.get(), chunk, sizeof chunk);
    if (count == 0) break;
    if (count > 0) received_.append(chunk, count);
  }
  return Outcome::ended;
}

void WorkerProcess::stop() {
  if (id_ == 0) return;
  // A process that ended by itself keeps its own status: the signal then comes too late.
  kill(-id_, SIGKILL);
  while (waitpid(id_, &status_, 0) < 0 && errno == EINTR) {
  }
  id_ = 0;
}

std::string WorkerProcess::end_text() const {
  if (!WIFSIGNALED(status_)) return cat("ended with exit status ", WEXITSTATUS(status_));
  return cat("stopped with signal ", WTERMSIG(status_), " (", strsignal(WTERMSIG(status_)), ")");
}

std::string WorkerProcess::last_message() const {
  const int64_t size = messages_.size();
  std::string text(std::clamp<int64_t>(size, 0, 2000), '\0');
  if (text.empty()) return "";
  messages_.read(text.data(), text.size(), size - text.size());
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return printable(text.substr(text.rfind('\n') + 1));
}

}  // namespace niwaki
