#pragma once

#include <nlohmann/json.hpp>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include <sys/wait.h>
#include <unistd.h>

namespace niwaki {

/// What a run of the program left behind.
struct ProgramRun {
  int exit_code = -1;
  std::string out, err;
  nlohmann::json json() const { return nlohmann::json::parse(out, nullptr, false); }
};

/// An empty folder that goes with the test.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "niwaki_cli_XXXXXX").string();
    path_ = mkdtemp(name.data());
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }
  size_t num_files() const { return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(path_), {})); }

 private:
  std::filesystem::path path_;
};

inline std::string file_text(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

inline std::string program() {
  const char* path = std::getenv("NIWAKI_BINARY");
  return path == nullptr || !std::filesystem::exists(path) ? "" : path;
}

/// Runs `niwaki WORDS` by the shell; words with spaces must be quoted.
inline ProgramRun run_program(const std::string& words, const std::string& variables = "") {
  const TemporaryFolder folder;
  const std::string command = variables + " '" + program() + "' " + words + " >'" + (folder / "out") + "' 2>'" + (folder / "err") + "' </dev/null";
  const int status = std::system(command.c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), file_text(folder / "out"), file_text(folder / "err")};
}

}  // namespace niwaki
