#include "compress/cli/command.h"

#include "compress/cli/job.h"
#include "compress/cli/message.h"
#include "compress/cli/terminal.h"
#include "compress/parallel.h"

#include <csignal>
#include <filesystem>
#include <new>

#include <unistd.h>

namespace niwaki {
namespace {

volatile std::sig_atomic_t first_signal = 0;

/// The first signal asks to stop, the second one ends at once.
void on_signal(int number) {
  if (first_signal != 0) _exit(128 + number);
  first_signal = number;
  Progress::stop_requested() = true;
}

void catch_signals() {
  struct sigaction action = {};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) sigaction(number, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}

using Command = int (*)(const CommandLine&, Terminal&);

Command command_of(const std::string& verb) {
  static const std::map<std::string, Command> commands = {
      {"bench", bench_command}, {"check", check_command}, {"compare", compare_command}, {"convert", convert_command},
      {"doctor", doctor_command}, {"eval", evaluate_command}, {"explain", explain_command}, {"factorize", verb_command}, {"inspect", inspect_command},
      {"pack", pack_command}, {"passes", passes_command}, {"prune", verb_command}, {"distill", verb_command}, {"finetune", verb_command}, {"quantize", verb_command}, {"report", report_command}, {"run", run_recipe_command},
      {"unpack", unpack_command}};
  const auto found = commands.find(verb);
  if (found == commands.end()) throw InternalError(cat("verb '", verb, "' has no command"));
  return found->second;
}

int dispatch(const CommandLine& line) {
  if (line.has("threads")) set_num_threads(static_cast<int>(line.integer("threads", 0)));
  Terminal terminal(line);
  return command_of(line.verb)(line, terminal);
}

int fail(const Error& error, const CommandLine& line) {
  print_error(error, line.has("json"), line.text("color", "auto"));
  return error.exit_code();
}

/// 75 where the run can go on.
int stopped(const std::string& run_directory) {
  if (!run_directory.empty()) {
    std::fprintf(stderr, "stopped; no output was written. The same command goes on, or: niwaki run %s\n", run_directory.c_str());
    return 75;
  }
  std::fputs("stopped; no output was written\n", stderr);
  return first_signal == SIGTERM ? 143 : 130;
}

/// The first argument of `niwaki run` where it is the folder of a stopped run.
std::string run_directory_of(const CommandLine& line) {
  std::error_code error;
  const bool is_folder = line.verb == "run" && !line.arguments.empty() && std::filesystem::is_directory(line.arguments[0], error);
  return is_folder ? line.arguments[0] : "";
}

/// The command line that was stopped, with --force where it is given now.
CommandLine resumed(const CommandLine& line, const std::string& run_directory) {
  Strings words = resumed_words(run_directory, line.program);
  if (line.has("force")) words.emplace_back("--force");
  std::vector<const char*> argv;
  for (const std::string& word : words) argv.push_back(word.c_str());
  return parse_command_line(static_cast<int>(argv.size()), argv.data());
}

}  // namespace

int run_command(int argc, const char* const* argv, const ProcessGroup* group) {
  catch_signals();
  CommandLine line;
  try {
    line = parse_command_line(argc, argv);
    if (const auto answer = answer_at_once(line)) {
      std::fputs(answer->c_str(), stdout);
      return 0;
    }
    if (const std::string folder = run_directory_of(line); !folder.empty()) line = resumed(line, folder);
    line.group = group;
    return dispatch(line);
  } catch (const Interrupted& stop) {
    return stopped(stop.run_directory);
  } catch (const Error& error) {
    return fail(error, line);
  } catch (const std::bad_alloc&) {
    return fail(EnvironmentError("E4002", "not enough memory", {.help = "use fewer --samples or a smaller --batch"}), line);
  } catch (const std::exception& error) {
    const std::string what = error.what();
    return fail(InternalError(printable(what.substr(0, what.find('\n')), 400), {.help = "this is a bug in Niwaki; please report the message and the command line"}), line);
  }
}

ReadOptions read_options(const CommandLine& line) {
  ReadOptions options;
  if (line.text("limits") == "strict") options.limits = Limits::strict();
  for (const auto& [name, value] : pairs_of(line, "limit")) {
    char* end = nullptr;
    const uint64_t number = std::strtoull(value.c_str(), &end, 10);
    if (value.empty() || *end != 0 || value[0] == '-') throw UsageError("E2001", cat("--limit ", printable(name), " got '", printable(value), "'"), {.found = "needed a whole number"});
    if (options.limits.set(name, number)) continue;
    std::vector<std::string> known;
    for (const LimitField& field : kLimitFields) known.emplace_back(field.name);
    const std::string near = nearest(name, known);
    throw UsageError("E2001", cat("there is no limit '", printable(name), "'"), {.help = near.empty() ? "safety limits are listed in the documentation" : cat("did you mean '", near, "'?")});
  }
  options.allow_symlinks = line.has("allow-symlinks");
  options.allow_hardlinks = line.has("allow-hardlinks");
  return options;
}

std::map<std::string, std::string> pairs_of(const CommandLine& line, const std::string& flag) {
  std::map<std::string, std::string> pairs;
  for (const std::string& word : line.list(flag)) {
    const size_t equals = word.find('=');
    if (!pairs.emplace(word.substr(0, equals), word.substr(equals + 1)).second) {
      throw UsageError("E2001", cat("--", flag, " names '", printable(word.substr(0, equals)), "' twice"), {.help = "keep one of them"});
    }
  }
  return pairs;
}

}  // namespace niwaki
