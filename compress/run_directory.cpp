#include "compress/run_directory.h"

#include "compress/error.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

namespace niwaki {
namespace fs = std::filesystem;

RunDirectory::RunDirectory(const std::string& work_directory, const std::string& id) : path_((fs::path(work_directory) / ("run-" + id)).string()) {
  std::error_code error;
  fs::create_directories(path_, error);
  if (error) throw EnvironmentError("E4007", cat("cannot make the run directory: ", error.message()), {.where = path_, .help = "give --work-dir DIR"});
  lock_ = open((fs::path(path_) / "lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock_ < 0) throw EnvironmentError("E4007", cat("cannot make a lock: ", std::strerror(errno)), {.where = path_, .help = "give --work-dir DIR"});
  if (flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    close(lock_);
    throw EnvironmentError("E4005", "the same run is at work in another process", {.where = path_, .help = "wait for it, or give another --work-dir"});
  }
}

RunDirectory::~RunDirectory() {
  if (!has_checkpoint()) remove();
  close(lock_);
}

bool RunDirectory::has_checkpoint() const {
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(path_, error)) {
    if (entry.path().extension() == ".checkpoint") return true;
  }
  return false;
}

void RunDirectory::remove() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
  fs::remove(fs::path(path_).parent_path(), ignored);      // only when it is empty
}

std::string request_file(const std::string& run_directory) { return (fs::path(run_directory) / "request.json").string(); }

}  // namespace niwaki
