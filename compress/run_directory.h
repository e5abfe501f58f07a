#pragma once

#include <string>

namespace niwaki {

/// WORK_DIR/run-<id>: what a run keeps so that it can go on after a stop. Locked while it is in use.
class RunDirectory {
 public:
  /// Makes the folder where it is missing. E4005 when another process uses it, E4007 when it cannot be made.
  RunDirectory(const std::string& work_directory, const std::string& id);
  RunDirectory(const RunDirectory&) = delete;
  RunDirectory& operator=(const RunDirectory&) = delete;
  /// Lets go of the lock; a folder without finished work goes.
  ~RunDirectory();

  const std::string& path() const { return path_; }
  /// True when there is something to go on from.
  bool has_checkpoint() const;
  /// The run ended: nothing of it is kept.
  void remove();

 private:
  std::string path_;
  int lock_ = -1;
};

/// The file in a run directory that says what was asked for.
std::string request_file(const std::string& run_directory);

}  // namespace niwaki
