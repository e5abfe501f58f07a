#include "compress/cli/command_line.h"
#include "compress/cli/message.h"

#include <csignal>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include <dlfcn.h>

namespace {

using RunCommand = int (*)(int, const char* const*);

/// The library beside the program, where there is work to do.
RunCommand load_library() {
  std::error_code problem;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", problem);
  std::string reason = problem ? problem.message() : "";
  for (const char* place : {"libniwaki.so", "../lib/libniwaki.so"}) {
    if (problem) break;
    void* library = dlopen((program.parent_path() / place).c_str(), RTLD_NOW);
    if (library != nullptr) {
      if (auto* found = reinterpret_cast<RunCommand>(dlsym(library, "niwaki_run_command"))) return found;
    }
    const char* told = dlerror();
    if (reason.empty() && told != nullptr) reason = told;
  }
  throw niwaki::EnvironmentError("E4006", "libniwaki.so, the program's own library, does not load",
                                 {.found = niwaki::printable(reason), .help = "install Niwaki again: the library belongs beside the program"});
}

int run(int argc, const char* const* argv) {
  const niwaki::CommandLine line = niwaki::parse_command_line(argc, argv);
  if (const auto answer = niwaki::answer_at_once(line)) {
    std::fputs(answer->c_str(), stdout);
    return 0;
  }
  return load_library()(argc, argv);
}

}  // namespace

int main(int argc, const char* const* argv) {
  std::signal(SIGPIPE, SIG_IGN);
  bool as_json = false;
  std::string color = "auto";
  for (int i = 1; i < argc; ++i) {
    as_json = as_json || std::strcmp(argv[i], "--json") == 0;
    if (std::strncmp(argv[i], "--color=", 8) == 0) color = argv[i] + 8;
    if (std::strcmp(argv[i], "--color") == 0 && i + 1 < argc) color = argv[i + 1];
  }
  try {
    return run(argc, argv);
  } catch (const niwaki::Error& error) {
    niwaki::print_error(error, as_json, color);
    return error.exit_code();
  } catch (const std::exception& error) {
    const niwaki::InternalError bug(error.what());
    niwaki::print_error(bug, as_json, color);
    return bug.exit_code();
  }
}
