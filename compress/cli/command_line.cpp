#include "compress/cli/command_line.h"

#include "compress/error.h"

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <set>
#include <sstream>

namespace niwaki {
namespace {

const VerbSpec* find_verb(const std::string& name) {
  for (const VerbSpec& spec : verb_specs()) {
    if (spec.name == name) return &spec;
  }
  return nullptr;
}

const FlagSpec* find_flag(const std::string& name) {
  for (const FlagSpec& spec : flag_specs()) {
    if (spec.name == name) return &spec;
  }
  return nullptr;
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
  return parts;
}

std::optional<double> number_of(const std::string& text) {
  double value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

std::optional<int64_t> integer_of(const std::string& text) {
  int64_t value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem != std::errc() || end != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
}

std::optional<double> seconds_of(const std::string& text) {
  if (text.empty()) return std::nullopt;
  const std::string units = "smh";
  const size_t unit = units.find(text.back());
  const auto value = number_of(unit == std::string::npos ? text : text.substr(0, text.size() - 1));
  constexpr double kFactors[] = {1, 60, 3600};
  if (!value || *value < 0) return std::nullopt;
  return *value * (unit == std::string::npos ? 1 : kFactors[unit]);
}

[[noreturn]] void refuse_value(const std::string& flag, const std::string& value, const std::string& needed, const std::string& near = "") {
  throw UsageError("E2001", cat("flag '--", flag, "' got '", printable(value), "'"),
                   {.found = cat("needed ", needed), .help = near.empty() ? "`niwaki VERB --help` lists the flags and their values" : cat("did you mean '", near, "'?")});
}

void check_value(const FlagSpec& flag, const std::string& value) {
  switch (flag.kind) {
    case FlagKind::none:
    case FlagKind::size: return;
    case FlagKind::text:
      if (value.empty()) refuse_value(flag.name, value, flag.values);
      return;
    case FlagKind::integer:
      if (!integer_of(value)) refuse_value(flag.name, value, "a whole number, 0 or more");
      return;
    case FlagKind::number:
      if (!number_of(value)) refuse_value(flag.name, value, "a number");
      return;
    case FlagKind::duration:
      if (!seconds_of(value)) refuse_value(flag.name, value, "a time such as 30s, 5m or 1h");
      return;
    case FlagKind::name_value:
      if (value.find('=') == std::string::npos || value.front() == '=') refuse_value(flag.name, value, flag.values);
      return;
    case FlagKind::choice: {
      const auto choices = split(flag.values, '|');
      for (const std::string& choice : choices) {
        if (choice == value) return;
      }
      refuse_value(flag.name, value, cat("one of ", flag.values), nearest(value, choices));
    }
  }
}

[[noreturn]] void refuse_flag(const std::string& name, const VerbSpec& verb) {
  if (is_planned_flag(name)) {
    throw UsageError("E2002", cat("flag '--", name, "' is not in this version"), {.help = cat("`niwaki ", verb.name, " --help` lists the flags that are")});
  }
  const FlagSpec* other = find_flag(name);
  if (other != nullptr) {
    std::string owners;
    for (const VerbSpec& each : verb_specs()) {
      if (other->verbs & each.bit) owners += (owners.empty() ? "" : ", ") + std::string(each.name);
    }
    throw UsageError("E2001", cat("'", verb.name, "' has no flag '--", name, "'"), {.found = cat("it belongs to ", owners), .help = cat("`niwaki ", verb.name, " --help` lists the flags")});
  }
  std::vector<std::string> known;
  for (const FlagSpec& each : flag_specs()) {
    if (each.verbs & verb.bit) known.push_back(each.name);
  }
  const std::string near = nearest(name, known);
  throw UsageError("E2001", cat("unknown flag '--", printable(name), "'"),
                   {.help = near.empty() ? cat("`niwaki ", verb.name, " --help` lists the flags") : cat("did you mean '--", near, "'?")});
}

/// Reads words of one verb; positional arguments and flags in any order.
class Reader {
 public:
  Reader(CommandLine& line, const VerbSpec& verb) : line_(line), verb_(verb) {}

  void read(size_t first) {
    bool is_open = true;                     // false behind "--"
    for (at_ = first; at_ < line_.words.size(); ++at_) {
      const std::string& word = line_.words[at_];
      if (is_open && word == "--") {
        is_open = false;
      } else if (is_open && word.starts_with("--")) {
        read_long(word.substr(2));
      } else if (is_open && word.size() > 1 && word[0] == '-') {
        read_letters(word.substr(1));
      } else {
        line_.arguments.push_back(word);
      }
    }
  }

 private:
  void read_long(const std::string& word) {
    const size_t equals = word.find('=');
    const std::string name = word.substr(0, equals);
    const FlagSpec* flag = find_flag(name);
    if (flag == nullptr || !(flag->verbs & verb_.bit)) refuse_flag(name, verb_);
    if (equals != std::string::npos && flag->kind == FlagKind::none) refuse_value(name, word.substr(equals + 1), "no value");
    add(*flag, equals == std::string::npos ? std::nullopt : std::optional(word.substr(equals + 1)));
  }

  void read_letters(const std::string& letters) {
    for (size_t i = 0; i < letters.size(); ++i) {
      const FlagSpec* found = nullptr;
      for (const FlagSpec& flag : flag_specs()) {
        if (flag.letter == letters[i] && (flag.verbs & verb_.bit)) found = &flag;
      }
      if (found == nullptr) {
        throw UsageError("E2001", cat("unknown flag '-", printable(letters.substr(i, 1)), "'"), {.help = cat("`niwaki ", verb_.name, " --help` lists the flags")});
      }
      if (found->kind == FlagKind::none) {
        add(*found, "");
      } else {
        add(*found, i + 1 < letters.size() ? std::optional(letters.substr(i + 1)) : std::nullopt);
        return;
      }
    }
  }

  void add(const FlagSpec& flag, std::optional<std::string> value) {
    if (flag.kind == FlagKind::none) value = "";
    if (!value) {
      if (at_ + 1 >= line_.words.size()) {
        throw UsageError("E2001", cat("flag '--", flag.name, "' needs a value"), {.found = cat("needed ", flag.values), .help = cat("`niwaki ", verb_.name, " --help` lists the flags and their values")});
      }
      value = line_.words[++at_];
    }
    check_value(flag, *value);
    auto& values = line_.flags[flag.name];
    if (!values.empty() && !flag.is_repeatable && flag.kind != FlagKind::none) {
      throw UsageError("E2001", cat("flag '--", flag.name, "' is given twice"), {.found = cat("'", printable(values[0]), "' and '", printable(*value), "'"), .help = "keep one of them"});
    }
    values.push_back(*value);
  }

  CommandLine& line_;
  const VerbSpec& verb_;
  size_t at_ = 0;
};

/// NIWAKI_THREADS and so on, where the flag was not given.
void read_variables(CommandLine& line, const VerbSpec& verb) {
  for (const char* name : {"color", "progress", "threads", "seed", "limits", "log"}) {
    const FlagSpec* flag = find_flag(name);
    if (!(flag->verbs & verb.bit) || line.has(name)) continue;
    std::string variable = "NIWAKI_";
    for (const char* c = name; *c != 0; ++c) variable += static_cast<char>(*c - 'a' + 'A');
    const char* value = std::getenv(variable.c_str());
    if (value == nullptr || *value == 0) continue;
    try {
      check_value(*flag, value);
    } catch (Error& error) {
      throw error.within(variable);
    }
    line.flags[name] = {value};
  }
}

void check_arguments(const CommandLine& line, const VerbSpec& verb) {
  const bool wants_help = line.has("help") || line.has("version");
  const size_t count = line.arguments.size();
  const std::string usage = cat("niwaki ", verb.name, *verb.usage == 0 ? "" : " ", verb.usage);
  if (!wants_help && count < verb.least) {
    throw UsageError("E2001", cat("'", verb.name, "' needs ", verb.least == 1 ? "an argument" : cat(verb.least, " arguments"), ", found ", count), {.help = cat("write `", usage, "`")});
  }
  if (!wants_help && count > verb.most) {
    throw UsageError("E2001", cat("'", verb.name, "' does not take the argument '", printable(line.arguments[verb.most]), "'"), {.help = cat("write `", usage, "`")});
  }
  const auto require = [&](const char* flag) {
    if (!wants_help && !line.has(flag)) throw UsageError("E2001", cat("'", verb.name, "' needs --", flag), {.help = cat("write `", usage, "`")});
  };
  static const std::set<std::string> kWriters = {"convert", "distill", "factorize", "finetune", "pack", "prune", "quantize", "unpack"};
  if (kWriters.contains(line.verb)) require("output");
  if (line.verb == "distill" || line.verb == "finetune") require("train");
  if (line.verb == "distill") require("teacher");
  if (line.verb == "eval") require("data");
  if (line.has("symmetric") && line.has("asymmetric")) {
    throw UsageError("E2001", "flags '--symmetric' and '--asymmetric' exclude each other", {.help = "keep one of them"});
  }
}

[[noreturn]] void refuse_verb(const std::string& name) {
  if (is_planned_verb(name)) {
    throw UsageError("E2002", cat("verb '", name, "' is not in this version"), {.help = "`niwaki --help` lists the verbs that are"});
  }
  std::vector<std::string> known;
  for (const VerbSpec& each : verb_specs()) known.push_back(each.name);
  const std::string near = nearest(name, known);
  throw UsageError("E2001", cat("unknown verb '", printable(name), "'"), {.help = near.empty() ? "`niwaki --help` lists the verbs" : cat("did you mean '", near, "'?")});
}

}  // namespace

std::string CommandLine::text(const std::string& flag, const std::string& otherwise) const {
  const auto found = flags.find(flag);
  return found == flags.end() ? otherwise : found->second.back();
}
std::vector<std::string> CommandLine::list(const std::string& flag) const {
  const auto found = flags.find(flag);
  return found == flags.end() ? std::vector<std::string>() : found->second;
}
int64_t CommandLine::integer(const std::string& flag, int64_t otherwise) const {
  return has(flag) ? integer_of(text(flag)).value_or(otherwise) : otherwise;
}
double CommandLine::number(const std::string& flag, double otherwise) const {
  return has(flag) ? number_of(text(flag)).value_or(otherwise) : otherwise;
}
double CommandLine::seconds(const std::string& flag, double otherwise) const {
  return has(flag) ? seconds_of(text(flag)).value_or(otherwise) : otherwise;
}

CommandLine parse_command_line(int argc, const char* const* argv) {
  CommandLine line;
  if (argc > 0) line.program = argv[0];
  for (int i = 1; i < argc; ++i) line.words.emplace_back(argv[i]);
  for (size_t i = 0; i < line.words.size(); ++i) {
    const std::string& word = line.words[i];
    if (word == "-h" || word == "--help" || word == "--version" || word == "--json") {
      line.flags[word == "-h" ? "help" : word.substr(2)] = {""};
      continue;
    }
    if (word.starts_with("-")) {
      throw UsageError("E2001", cat("'", printable(word), "' stands before the verb"), {.help = "write `niwaki VERB ...`; `niwaki --help` lists the verbs"});
    }
    const VerbSpec* verb = find_verb(word);
    if (verb == nullptr) refuse_verb(word);
    line.verb = word;
    Reader(line, *verb).read(i + 1);
    read_variables(line, *verb);
    check_arguments(line, *verb);
    return line;
  }
  return line;
}

std::string version() { return NIWAKI_VERSION; }

}  // namespace niwaki
