#include "compress/cli/command.h"
#include "compress/cli/report_file.h"
#include "compress/cli/terminal.h"
#include "compress/report/numbers.h"

namespace niwaki {
namespace {

std::string text_of(const Json& node, const char* key) { return node.contains(key) && node[key].is_string() ? node[key].get<std::string>() : ""; }

/// What report.json says of one node, in words.
std::string story(const Json& node) {
  std::string text = cat(printable(text_of(node, "name")), text_of(node, "op").empty() ? "" : cat(" (", printable(text_of(node, "op")), ")"), ": ", printable(text_of(node, "outcome")), "\n");
  if (!text_of(node, "reason").empty()) text += cat("  because ", printable(text_of(node, "reason"), 400), "\n");
  for (const auto& [key, value] : node.items()) {
    if (key == "name" || key == "op" || key == "outcome" || key == "reason") continue;
    text += cat("  ", printable(key), std::string(key.size() < 14 ? 14 - key.size() : 1, ' '), printable(value.is_string() ? value.get<std::string>() : value.dump(), 400), "\n");
  }
  return text;
}

}  // namespace

int explain_command(const CommandLine& line, Terminal& terminal) {
  const Json report = read_report(report_path(line.arguments[0]));
  Strings names;
  for (const Json& node : report.value("nodes", Json::array())) {
    names.push_back(text_of(node, "name"));
    if (names.back() != line.arguments[1]) continue;
    terminal.print(story(node));
    terminal.print_json(node);
    return 0;
  }
  const std::string near = nearest(line.arguments[1], names);
  throw UsageError("E2007", cat("the report has no node '", printable(line.arguments[1]), "'"),
                   {.found = cat("it lists ", names.size(), " nodes"), .help = near.empty() ? "`niwaki inspect MODEL --ops` lists the names" : cat("did you mean '", printable(near), "'?")});
}

}  // namespace niwaki
