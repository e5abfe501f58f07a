#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace niwaki {

/// What a flag takes.
enum class FlagKind { none, text, integer, number, size, duration, name_value, choice };

struct FlagSpec {
  const char* name;                          // "block-size"
  char letter;                               // 'o', or 0
  FlagKind kind;
  const char* values;                        // of a choice "8|4|3|2", else what help prints: "DATA"
  const char* otherwise;                     // the default, as help prints it
  uint32_t verbs;                            // set of Verb
  bool is_repeatable;
  const char* help;
};

/// The set of all verbs, of flags that every command takes.
inline constexpr uint32_t kEveryVerb = 0x7fffffff;

struct VerbSpec {
  const char* name;
  uint32_t bit;
  size_t least, most;                        // positional arguments
  const char* usage;                         // "MODEL -o OUT [flags]"
  const char* help;
};

/// Every verb of this version, in the order of the help.
const std::vector<VerbSpec>& verb_specs();
/// Every flag of this version, in the order of the help.
const std::vector<FlagSpec>& flag_specs();
/// Verbs and flags that are promised and not there yet: they get E2002.
bool is_planned_verb(const std::string& name);
bool is_planned_flag(const std::string& name);

/// A command line that was found good: verb, positional arguments, flags by their long names.
struct ProcessGroup;

struct CommandLine {
  std::string program, verb;                 // verb "": none was given
  std::vector<std::string> arguments;
  std::map<std::string, std::vector<std::string>> flags;
  std::vector<std::string> words;            // all of argv behind the program
  const ProcessGroup* group = nullptr;       // the processes that run this command together; null: this one alone

  bool has(const std::string& flag) const { return flags.count(flag) != 0; }
  std::string text(const std::string& flag, const std::string& otherwise = "") const;
  std::vector<std::string> list(const std::string& flag) const;
  int64_t integer(const std::string& flag, int64_t otherwise) const;
  double number(const std::string& flag, double otherwise) const;
  /// Seconds of "10s", "5m", "1h" or a bare number.
  double seconds(const std::string& flag, double otherwise) const;
};

/// Parses, checks every value, and fills in NIWAKI_* variables of the flags that all commands share. UsageError E2001
/// for a word that means nothing, E2002 for what is not in this version.
CommandLine parse_command_line(int argc, const char* const* argv);

/// What can be said without loading anything: help, version, pages of `explain`, completion; nullopt where there is work.
/// The text goes to stdout.
std::optional<std::string> answer_at_once(const CommandLine& line);

/// "0.1.0".
std::string version();

}  // namespace niwaki
