#include "compress/cli/command.h"
#include "compress/cli/message.h"
#include "compress/cli/terminal.h"
#include "compress/executor.h"
#include "compress/onnx/check_structure.h"
#include "compress/onnx/infer_shapes.h"

#include <unistd.h>

namespace niwaki {
namespace {

constexpr size_t kMostFindings = 50;

/// Errors and warnings of one model; `exit_code` grows to the most severe.
Json check_model(const std::string& path, const ReadOptions& options, int& exit_code) {
  Json findings = Json::array();
  const auto add = [&](const std::string& code, const std::string& message) { findings.push_back({{"code", code}, {"message", printable(message, 400)}}); };
  try {
    Model model = read_model(path, options);
    for (const std::string& note : model.notes) add(note.substr(0, note.find(':')), note.substr(std::min(note.size(), note.find(':') + 2)));
    const std::string verdict = checker_verdict(model.graph);
    if (!verdict.empty()) {
      add("E1320", cat("the ONNX checker says: ", verdict));
      exit_code = std::max(exit_code, 3);
    }
    infer_shapes(model.graph, true);
    for (const std::string& node : unsupported_nodes(model.graph)) add("W1113", cat("node ", node, " is carried through: the built-in executor cannot run it"));
  } catch (const Error& error) {
    Json entry = error_json(error);
    entry["text"] = error_text(error, false);
    findings.push_back(entry);
    exit_code = std::max(exit_code, error.exit_code());
  }
  return findings;
}

bool has_error(const Json& findings) {
  return std::any_of(findings.begin(), findings.end(), [](const Json& one) { return one["code"].get<std::string>().starts_with("E"); });
}

}  // namespace

int check_command(const CommandLine& line, Terminal& terminal) {
  const ReadOptions options = read_options(line);
  Json document = {{"models", Json::array()}};
  int exit_code = 0;
  size_t count = 0;
  for (const std::string& path : line.arguments) {
    const Json findings = check_model(path, options, exit_code);
    document["models"].push_back({{"file", printable(path, 4096)}, {"verdict", has_error(findings) ? "refused" : "good"}, {"findings", findings}});
    terminal.print(cat(printable(path), ": ", has_error(findings) ? "refused" : findings.empty() ? "good" : "good, with notes", "\n"));
    for (const Json& finding : findings) {
      if (++count > kMostFindings) break;
      Terminal& out = terminal;
      if (finding.contains("text")) std::fputs(finding["text"].get<std::string>().c_str(), stderr);
      else out.tell_message(finding);
    }
  }
  if (count > kMostFindings) terminal.tell(cat("+", count - kMostFindings, " more findings\n"));
  document["exit_code"] = exit_code;
  terminal.print_json(document);
  return exit_code;
}

}  // namespace niwaki
