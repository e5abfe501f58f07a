#include "compress/report/markdown.h"

#include "compress/report/escape.h"
#include "compress/report/numbers.h"
#include "compress/report/summary.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <vector>

namespace niwaki {
namespace {

constexpr size_t kMostKept = 20, kMostChanges = 10, kMostCharacters = 60000;

std::string line(const std::vector<std::string>& cells) {
  return "| " + joined(cells, " | ") + " |\n";
}

std::string headline_table(const Json& report) {
  std::string table = "| | original | result | change | |\n|---|--:|--:|---|---|\n";
  for (const Row& row : headline(report)) {
    const std::string change =
        markdown_text(row.change + (row.limit.empty() ? "" : ", " + row.limit));
    table += line({markdown_text(row.label), markdown_text(row.before), markdown_text(row.after),
                   row.is_worse ? "**" + change + "**" : change, row.verdict});
  }
  return table + "\n";
}

std::string amount(const Json& gate, const char* key) {
  const auto value = number(gate, key);
  const std::string unit = text(gate, "unit");
  if (!value) return "not measured";
  return markdown_text(unit == "B" ? grouped(*value) + " B"
                                   : plain(std::stod(fixed(*value, 3))) +
                                         (unit == "x" || unit.empty() ? unit : " " + unit));
}

std::string gates_table(const Json& report) {
  if (item(report, "gates").empty()) return "";
  std::string table =
      "## Gates\n\n| gate | value | 95 % interval | limit | verdict |\n|---|--:|--:|--:|---|\n";
  for (const Json& gate : item(report, "gates")) {
    const Json& ends = item(gate, "ci95");
    const bool has_interval = ends.is_array() && ends.size() == 2 && ends[0].is_number() &&
                              ends[1].is_number() && ends[0] != ends[1];
    const std::string interval = has_interval ? "[" + fixed(ends[0].get<double>(), 2) + ", " +
                                                    fixed(ends[1].get<double>(), 2) + "]"
                                              : "";
    table +=
        line({markdown_text(text(gate, "name")), amount(gate, "value"), markdown_text(interval),
              (flag(gate, "is_minimum") ? "at least " : "at most ") + amount(gate, "limit"),
              markdown_text(text(gate, "verdict")) +
                  (flag(gate, "informational") ? " (informational)" : "")});
  }
  return table + "\n";
}

std::string kept_table(const Json& report) {
  const std::vector<const Json*> kept = kept_nodes(report);
  if (kept.empty()) return "";
  std::string table = "## Kept as float\n\n| node | op | bytes | why |\n|---|---|--:|---|\n";
  for (size_t i = 0; i < std::min(kept.size(), kMostKept); ++i) {
    table += line({markdown_text(text(*kept[i], "name")), markdown_text(text(*kept[i], "op")),
                   size_text(number(*kept[i], "bytes_before").value_or(0)),
                   markdown_text(text(*kept[i], "reason"))});
  }
  if (kept.size() > kMostKept)
    table += "\n" + std::to_string(kept.size() - kMostKept) + " more are in report.json.\n";
  return table + "\n";
}

std::string largest_changes(const Json& report) {
  std::vector<const Json*> nodes;
  const auto saved = [](const Json& node) {
    return number(node, "bytes_before").value_or(0) - number(node, "bytes_after").value_or(0);
  };
  for (const Json& node : item(report, "nodes")) {
    if (text(node, "outcome") == "changed" && number(node, "bytes_before") &&
        number(node, "bytes_after"))
      nodes.push_back(&node);
  }
  std::stable_sort(nodes.begin(), nodes.end(), [&](const Json* a, const Json* b) {
    return std::abs(saved(*a)) > std::abs(saved(*b));
  });
  if (nodes.empty()) return "";
  std::string table =
      "## Largest changes\n\n| node | op | type | bytes before | bytes after | SQNR "
      "|\n|---|---|---|--:|--:|--:|\n";
  for (size_t i = 0; i < std::min(nodes.size(), kMostChanges); ++i) {
    const auto sqnr = number(*nodes[i], "sqnr_db");
    table += line(
        {markdown_text(text(*nodes[i], "name")), markdown_text(text(*nodes[i], "op")),
         markdown_text(text(*nodes[i], "dtype_before") + " → " + text(*nodes[i], "dtype_after")),
         grouped(*number(*nodes[i], "bytes_before")), grouped(*number(*nodes[i], "bytes_after")),
         sqnr ? fixed(*sqnr, 1) + " dB" : ""});
  }
  return table + "\n";
}

std::string notes(const Json& report) {
  std::string lines;
  for (const Json& entry : item(report, "messages")) {
    lines += "- " + markdown_text(text(entry, "code")) + " " +
             markdown_text(text(entry, "message")) +
             (text(entry, "help").empty() ? "" : "; " + markdown_text(text(entry, "help"))) + "\n";
  }
  return lines.empty() ? "" : "## Messages\n\n" + lines + "\n";
}

std::string verified(const Json& report) {
  std::string lines = "Verified: " + markdown_text(joined(verification(report), ", ")) + "\n\n";
  for (const Json& entry : item(report, "quality")) {
    if (flag(entry, "is_fidelity")) return lines + "Fidelity to the original, not accuracy.\n\n";
  }
  return lines;
}

std::string reproduce(const Json& report) {
  const std::string command = text(report, "command");
  if (command.empty()) return "";
  std::string indented;  // an indented block: no fence that a name could close
  for (const char c : visible(command)) indented += c;
  return "## How to reproduce\n\n    " + indented + "\n\n";
}

std::string name_of_role(const Json& report, const std::string& role) {
  const Json* file = file_with_role(report, role);
  return file == nullptr ? "" : text(*file, "name");
}

}  // namespace

std::string markdown(const Json& report) {
  const std::string output = name_of_role(report, "output");
  return "# " + markdown_text(output.empty() ? "Report" : output) + ": " + verdict_word(report) +
         "\n\n" + headline_table(report) + verified(report) + gates_table(report) +
         kept_table(report) + largest_changes(report) + notes(report) + reproduce(report);
}

std::string model_card(const Json& report) {
  std::string card =
      "---\nlibrary_name: onnx\ntags:\n- onnx\n- model-compression\n- niwaki\nbase_model: " +
      yaml_text(name_of_role(report, "model")) + "\nbase_model_relation: quantized\n---\n\n# " +
      markdown_text(name_of_role(report, "output")) + "\n\nMade from " +
      markdown_text(name_of_role(report, "model")) + " with Niwaki " +
      markdown_text(text(item(report, "tool"), "version")) + ".\n\n" + headline_table(report) +
      verified(report);
  card += "## Files\n\n| role | name | bytes | sha256 |\n|---|---|--:|---|\n";
  for (const Json& file : item(report, "files")) {
    card += line({markdown_text(text(file, "role")), markdown_text(text(file, "name")),
                  grouped(number(file, "bytes").value_or(0)), markdown_text(text(file, "sha256"))});
  }
  return card + "\n" + reproduce(report);
}

std::string pull_request(const Json& report) {
  std::string text_of_comment =
      "### niwaki: " + verdict_word(report) + "\n\n" + headline_table(report);
  for (const std::string& part : {gates_table(report), notes(report), largest_changes(report),
                                  kept_table(report), reproduce(report)}) {
    if (text_of_comment.size() + part.size() < kMostCharacters) text_of_comment += part;
  }
  return text_of_comment;
}

}  // namespace niwaki
