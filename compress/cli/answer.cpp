#include "compress/cli/command_line.h"
#include "compress/cli/error_pages.h"
#include "compress/error.h"

#include <nlohmann/json.hpp>

namespace niwaki {
namespace {

using Document = nlohmann::json;

std::string dump(const Document& json) { return json.dump(2, ' ', false, Document::error_handler_t::replace) + "\n"; }

std::string padded(const std::string& text, size_t size) {
  return text.size() < size ? text + std::string(size - text.size(), ' ') : text;
}

std::string first_words() {
  return "niwaki " + version() + ": smaller, faster ONNX models, measured before and after\n"
         "\n"
         "  niwaki quantize model.onnx -o small.onnx --calib calib.npz\n"
         "  niwaki eval model.onnx --data test.npz --metric top1\n"
         "  niwaki compare model.onnx small.onnx --data test.npz --per-layer\n"
         "\n"
         "  change, store    convert  prune  factorize  quantize  finetune  distill  run  pack  unpack\n"
         "  look into it     inspect  check  compare\n"
         "  measure it       eval  bench\n"
         "  reports, help    report  explain  passes  doctor  completion\n"
         "\n"
         "niwaki --help lists every verb; niwaki VERB --help lists its flags\n";
}

std::string all_help() {
  std::string text = "usage: niwaki VERB ARGUMENTS [flags]\n\n";
  for (const VerbSpec& verb : verb_specs()) {
    text += "  " + padded(verb.name, 12) + verb.help + "\n";
  }
  text += "\nniwaki VERB --help lists the flags of a verb, niwaki --version the version.\n"
          "Exit: 0 fine, 1 a gate was missed, 2 command line or recipe wrong, 3 input refused, 4 environment, 5 bug,\n"
          "130 and 143 stopped by a signal. `niwaki explain CODE` tells what a message means.\n";
  return text;
}

std::string shown(const FlagSpec& flag) {
  std::string text = flag.letter != 0 ? cat("-", flag.letter, ", --", flag.name) : cat("--", flag.name);
  return *flag.values == 0 ? text : text + " " + flag.values;
}

std::string verb_help(const VerbSpec& verb) {
  std::string text = cat("usage: niwaki ", verb.name, " ", verb.usage, "\n\n  ", verb.help, "\n\nflags:\n");
  const auto line = [&](const FlagSpec& flag) {
    const std::string name = shown(flag);
    text += "  " + (name.size() > 34 ? name + "\n" + std::string(38, ' ') : padded(name, 36)) + flag.help;
    text += *flag.otherwise == 0 ? "\n" : cat(" (default ", flag.otherwise, ")\n");
  };
  for (const FlagSpec& flag : flag_specs()) {
    if ((flag.verbs & verb.bit) && flag.verbs != kEveryVerb) line(flag);
  }
  text += "\nof every command:\n";
  for (const FlagSpec& flag : flag_specs()) {
    if (flag.verbs == kEveryVerb) line(flag);
  }
  return text;
}

/// What the program does when it prints this code.
std::string consequence(const std::string& code) {
  if (code[0] == 'W') return "a warning: the run goes on, and its exit code stays as it is";
  if (code[0] == 'N') return "a note: nothing is wrong";
  switch (code[1]) {
    case '1':
    case '3': return "exit 3: the input is refused or not supported, and no output is written";
    case '2': return "exit 2: the command line or the recipe is wrong, and nothing was started";
    case '4': return "exit 4: the environment is in the way, and existing files stay as they were";
    case '6': return "exit 1: the output and its report are written, and a gate was missed";
    default: return "exit 5: a bug in Niwaki";
  }
}

std::string page_text(const ErrorPage& page) {
  return cat(page.code, ": ", page.title, "\n\n  ", page.meaning, "\n  ", consequence(page.code), "\n\nhelp: ", page.help, "\n");
}

Document page_json(const ErrorPage& page) {
  return {{"code", page.code}, {"title", page.title}, {"meaning", page.meaning}, {"help", page.help}};
}

std::string page_list(bool as_json) {
  Document list = Document::array();
  std::string text;
  for (const ErrorPage& page : error_pages()) {
    list.push_back(page_json(page));
    text += cat(page.code, "  ", page.title, "\n");
  }
  return as_json ? dump(list) : text;
}

std::string page(const std::string& code, bool as_json) {
  std::vector<std::string> codes;
  for (const ErrorPage& page : error_pages()) {
    if (page.code == code) return as_json ? dump(page_json(page)) : page_text(page);
    codes.push_back(page.code);
  }
  const std::string near = nearest(code, codes);
  throw UsageError("E2001", cat("there is no code '", printable(code), "'"),
                   {.help = cat(near.empty() ? "" : cat("did you mean ", near, "? "), "`niwaki explain --list` prints them all")});
}

std::string words_of(const VerbSpec& verb) {
  std::string words;
  for (const FlagSpec& flag : flag_specs()) {
    if (flag.verbs & verb.bit) words += (words.empty() ? "--" : " --") + std::string(flag.name);
  }
  return words;
}

std::string verb_words() {
  std::string words;
  for (const VerbSpec& verb : verb_specs()) words += (words.empty() ? "" : " ") + std::string(verb.name);
  return words;
}

std::string bash_completion() {
  std::string text = "# bash completion of niwaki\n_niwaki() {\n  local word=\"${COMP_WORDS[COMP_CWORD]}\" words=\"\"\n"
                     "  if [ \"$COMP_CWORD\" -eq 1 ]; then\n    words=\"" + verb_words() + "\"\n  else\n    case \"${COMP_WORDS[1]}\" in\n";
  for (const VerbSpec& verb : verb_specs()) text += cat("      ", verb.name, ") words=\"", words_of(verb), "\" ;;\n");
  return text + "    esac\n    case \"$word\" in -*) ;; *) words=\"\" ;; esac\n  fi\n"
                "  COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n  [ ${#COMPREPLY[@]} -gt 0 ] || COMPREPLY=($(compgen -f -- \"$word\"))\n}\n"
                "complete -o filenames -F _niwaki niwaki\n";
}

std::string zsh_completion() {
  std::string text = "#compdef niwaki\n_niwaki() {\n  if (( CURRENT == 2 )); then\n    compadd " + verb_words() + "\n    return\n  fi\n  case $words[2] in\n";
  for (const VerbSpec& verb : verb_specs()) text += cat("    ", verb.name, ") [[ $PREFIX == -* ]] && compadd -- ", words_of(verb), " || _files ;;\n");
  return text + "  esac\n}\n_niwaki \"$@\"\n";
}

/// What single quotes of fish hold.
std::string quoted(const std::string& text) {
  std::string safe = "'";
  for (const char c : text) safe += c == '\'' ? "\\'" : std::string(1, c);
  return safe + "'";
}

std::string fish_completion() {
  std::string text = "# fish completion of niwaki\n";
  for (const VerbSpec& verb : verb_specs()) {
    text += cat("complete -c niwaki -n __fish_use_subcommand -a ", verb.name, " -d ", quoted(verb.help), "\n");
    for (const FlagSpec& flag : flag_specs()) {
      if (flag.verbs & verb.bit) text += cat("complete -c niwaki -n '__fish_seen_subcommand_from ", verb.name, "' -l ", flag.name, flag.kind == FlagKind::none ? "" : " -r", " -d ", quoted(flag.help), "\n");
    }
  }
  return text;
}

std::string completion(const std::string& shell) {
  if (shell == "bash") return bash_completion();
  if (shell == "zsh") return zsh_completion();
  if (shell == "fish") return fish_completion();
  throw UsageError("E2001", cat("there is no completion for '", printable(shell), "'"), {.found = "needed bash, zsh or fish", .help = "write `niwaki completion bash`"});
}

}  // namespace

std::optional<std::string> answer_at_once(const CommandLine& line) {
  const bool as_json = line.has("json");
  if (line.has("version")) return as_json ? dump({{"name", "niwaki"}, {"version", version()}}) : cat("niwaki ", version(), "\n");
  if (line.verb.empty()) return line.has("help") ? all_help() : first_words();
  for (const VerbSpec& verb : verb_specs()) {
    if (verb.name == line.verb && line.has("help")) return verb_help(verb);
  }
  if (line.verb == "completion") return completion(line.arguments.at(0));
  if (line.verb != "explain") return std::nullopt;
  if (line.has("list")) return page_list(as_json);
  if (line.arguments.size() == 1) return page(line.arguments[0], as_json);
  if (line.arguments.empty()) {
    throw UsageError("E2001", "'explain' needs a code, or a report and a node", {.help = "write `niwaki explain E1201`, `niwaki explain --list` or `niwaki explain REPORT NODE`"});
  }
  return std::nullopt;
}

}  // namespace niwaki
