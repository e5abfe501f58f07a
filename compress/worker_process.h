#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include <sys/types.h>

namespace niwaki {

/// The interpreter to start: $NIWAKI_PYTHON, else beside the program (as typed, then as resolved),
/// else the first of PATH; empty where there is none. `program` is argv[0] and may be empty.
std::string find_python(const std::string& program);

/// An open file that closes itself.
class OpenFile {
 public:
  explicit OpenFile(int descriptor = -1) : descriptor_(descriptor) {}
  OpenFile(OpenFile&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  OpenFile& operator=(OpenFile&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  ~OpenFile();
  int get() const { return descriptor_; }

 private:
  int descriptor_;
};

/// A file without a name, in memory, that a child process can map by its path.
class SharedFile {
 public:
  explicit SharedFile(const char* name);
  /// All bytes, or E4006.
  void write(const void* data, size_t size, int64_t offset) const;
  void read(void* data, size_t size, int64_t offset) const;
  int64_t size() const;
  int descriptor() const { return file_.get(); }
  /// For the process that inherited it.
  std::string path() const;

 private:
  OpenFile file_;
};

/// A Python script in a process group and an empty private folder of its own; speaks in lines.
class WorkerProcess {
 public:
  enum class Outcome { line, timeout, stopped, ended };

  /// Starts `python -I script memory_bytes` without waiting; throws E4006 where it cannot.
  WorkerProcess(const std::string& python, std::string_view script, uint64_t memory_bytes);
  ~WorkerProcess();
  WorkerProcess(const WorkerProcess&) = delete;
  WorkerProcess& operator=(const WorkerProcess&) = delete;

  /// Writes a line; that nobody reads it shows as the end of the answers.
  void send(std::string line);
  /// Waits for the next line; `stopped`, where given, is asked every 0.1 s.
  Outcome receive(std::string& line, double timeout_seconds, const std::function<bool()>& stopped);
  /// Kills the group and waits for its end.
  void stop();
  /// "stopped with signal 9 (Killed)" or "ended with exit status 1"; after `stop`.
  std::string end_text() const;
  /// The last line that it wrote to stderr, printable.
  std::string last_message() const;

  int id() const { return id_; }
  const std::string& python() const { return python_; }
  const SharedFile& inputs() const { return inputs_; }
  const SharedFile& outputs() const { return outputs_; }

 private:
  void spawn(std::string_view script, uint64_t memory_bytes, const OpenFile& requests_end,
             const OpenFile& answers_end);

  std::string python_, directory_, received_;
  SharedFile inputs_, outputs_, messages_;
  OpenFile requests_, answers_;
  pid_t id_ = 0;
  int status_ = 0;
};

}  // namespace niwaki
