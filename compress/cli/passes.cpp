#include "compress/cli/command.h"
#include "compress/cli/terminal.h"
#include "compress/recipe.h"
#include "compress/report/numbers.h"
#include "passes/all_passes.h"

namespace niwaki {
namespace {

Json option_json(const OptionText& option) {
  Json json = {{"name", option.name}, {"type", option.type}, {"help", option.help}};
  json["default"] = option.otherwise.empty() ? Json(nullptr) : Json::parse(option.otherwise);
  return json;
}

Json entry_json(const PassEntry& entry) {
  Json options = Json::array();
  for (const OptionText& option : entry.options) options.push_back(option_json(option));
  return {{"name", entry.name}, {"help", entry.help}, {"options", options}};
}

std::string page(const PassEntry& entry) {
  std::string text = cat(entry.name, ": ", entry.help, "\n\n");
  if (entry.options.empty()) text += "  no options\n";
  for (const OptionText& option : entry.options) {
    text += cat("  ", padded(option.name, 20), " ", option.type, option.otherwise.empty() ? "" : cat(" (default ", option.otherwise, ")"), "\n", std::string(23, ' '), option.help, "\n");
  }
  return text + cat("\nin a recipe: `steps: [", entry.name, ": {}]`\n");
}

}  // namespace

KnownSteps known_steps() {
  KnownSteps steps;
  for (const PassEntry& entry : all_passes().entries()) steps[entry.name] = entry.options;
  for (const char* verb : {"factorize", "prune", "quantize"}) steps[verb] = verb_options(verb);
  steps["distill"].push_back({"teacher", "text", "model to learn from: original, or a path", "\"original\""});
  return steps;
}

int passes_command(const CommandLine& line, Terminal& terminal) {
  if (line.has("schema")) {
    terminal.print_always(recipe_schema(known_steps()).dump(2) + "\n");
    return 0;
  }
  Strings names;
  Json list = Json::array();
  for (const PassEntry& entry : all_passes().entries()) {
    names.push_back(entry.name);
    list.push_back(entry_json(entry));
    if (line.arguments.empty()) {
      terminal.print(cat(padded(entry.name, 26), " ", entry.help, "\n"));
    } else if (entry.name == line.arguments[0]) {
      terminal.print(page(entry));
      terminal.print_json(list.back());
      return 0;
    }
  }
  if (line.arguments.empty()) {
    terminal.print_json(list);
    return 0;
  }
  const std::string near = nearest(line.arguments[0], names);
  throw UsageError("E2003", cat("unknown pass '", printable(line.arguments[0]), "'"), {.help = near.empty() ? "`niwaki passes` lists them" : cat("did you mean '", near, "'?")});
}

}  // namespace niwaki
