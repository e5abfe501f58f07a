#include "compress/report/terminal_table.h"

#include "compress/error.h"
#include "compress/report/escape.h"
#include "compress/report/numbers.h"
#include "compress/report/summary.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <vector>

namespace niwaki {
namespace {

constexpr size_t kRule = 75;  // width of the table below its two columns of margin
constexpr size_t kMostKept = 5;

struct Style {
  size_t columns;
  bool unicode, color;
};

std::string red(const std::string& text, const Style& style) {
  return style.color ? "\x1b[31m" + text + "\x1b[0m" : text;
}

std::string ascii(const std::string& line) {
  std::string plain_text;
  for (size_t i = 0; i < line.size(); ++i) {
    const std::string_view rest = std::string_view(line).substr(i);
    if ((line[i] & 0x80) == 0)
      plain_text += line[i];
    else if (rest.starts_with("·"))
      plain_text += ',';
    else if (rest.starts_with("─"))
      plain_text += '-';
    else if (rest.starts_with("…"))
      plain_text += "..";
    else if ((line[i] & 0xc0) == 0xc0)
      plain_text += '?';
  }
  for (size_t at = plain_text.find(" ,"); at != std::string::npos; at = plain_text.find(" ,"))
    plain_text.erase(at, 1);
  return plain_text;
}

/// Words of `line` on as many lines as they need, the later ones under column `indent`.
std::string wrapped(const std::string& line, size_t indent, const Style& style) {
  std::string text, current;
  size_t at = 0;
  while (at <= line.size()) {
    const size_t end = std::min(line.find(' ', at), line.size());
    const std::string word = line.substr(at, end - at);
    if (width(current) + 1 + width(word) > style.columns && width(current) > indent) {
      text += current.substr(0, current.find_last_not_of(' ') + 1) + "\n";
      current = std::string(indent, ' ') + word;
    } else {
      current += (at == 0 ? "" : " ") + word;
    }
    at = end + 1;
  }
  return text + current + "\n";
}

std::string table_row(const Row& row, const Style& style) {
  std::string line = "  " + padded(printable(row.label, 24), 22) + right_aligned(row.before, 10) +
                     right_aligned(row.after, 11) + "   ";
  if (width(row.label) > 22) {  // a long label gets a line of its own
    line = "  " + printable(row.label, 70) + "\n" + std::string(24, ' ') +
           right_aligned(row.before, 10) + right_aligned(row.after, 11) + "   ";
  }
  if (row.verdict.empty())
    return line + (row.is_worse ? red(row.change, style) : row.change) + "\n";
  const size_t room = kRule + 2 - 48;
  const std::string verdict = row.verdict == "ok" ? "ok" : red(row.verdict, style);
  const size_t gap = width(row.change) + width(row.verdict) + 1 > room
                         ? 1
                         : room - width(row.change) - width(row.verdict);
  line +=
      (row.is_worse ? red(row.change, style) : row.change) + std::string(gap, ' ') + verdict + "\n";
  return row.limit.empty() ? line : line + std::string(48, ' ') + row.limit + "\n";
}

std::string stacked_row(const Row& row, const Style& style) {
  std::string text = wrapped("  " + printable(row.label), 4, style);
  if (!row.before.empty() || !row.after.empty())
    text +=
        wrapped("    " + (row.before.empty() ? "?" : row.before) + " -> " + row.after, 6, style);
  std::string change =
      wrapped("    " + row.change + (row.verdict.empty() ? "" : " " + row.verdict), 6, style);
  if (row.is_worse) change = red(change.substr(0, change.size() - 1), style) + "\n";
  if (!row.change.empty()) text += change;
  return row.limit.empty() ? text : text + wrapped("    " + row.limit, 6, style);
}

std::string labelled(const std::string& label, const std::string& value, const Style& style) {
  return value.empty() ? ""
                       : wrapped("  " + padded(label, 13) + printable(value, 400),
                                 style.columns < 40 ? 4 : 15, style);
}

std::string kept_lines(const Json& report, const Style& style) {
  const std::vector<const Json*> kept = kept_nodes(report);
  std::string lines;
  for (size_t i = 0; i < std::min(kept.size(), kMostKept); ++i) {
    const std::string reason = text(*kept[i], "reason");
    lines += labelled(i == 0 ? "kept" : "",
                      text(*kept[i], "name") + " (" +
                          size_text(number(*kept[i], "bytes_before").value_or(0)) + ")" +
                          (reason.empty() ? "" : ": " + reason),
                      style);
  }
  if (kept.size() <= kMostKept) return lines;
  const std::string where = text(item(item(report, "run"), "paths"), "report_dir");
  return lines + labelled("",
                          "+" + std::to_string(kept.size() - kMostKept) + " more: niwaki explain " +
                              shell_word(where.empty() ? "REPORT" : where) + " NODE",
                          style);
}

std::string wrote_lines(const Json& report, const Style& style) {
  const Json* output = file_with_role(report, "output");
  std::string lines;
  if (output != nullptr) {
    const std::string hash = text(*output, "sha256");
    const std::string brief =
        hash.size() < 8 ? "" : "  sha256:" + hash.substr(0, 4) + "…" + hash.substr(hash.size() - 2);
    lines = wrapped("  wrote  " + printable(text(*output, "name")) + brief,
                    style.columns < 40 ? 4 : 9, style);
  }
  const Json& paths = item(item(report, "run"), "paths");
  std::string files;
  for (const Json& name : item(paths, "report_files"))
    files += " " + (name.is_string() ? name.get<std::string>() : "");
  if (!text(paths, "report_dir").empty())
    lines += wrapped("         " + printable(text(paths, "report_dir") + "/" + files),
                     style.columns < 40 ? 4 : 9, style);
  return lines;
}

std::string next_line(const Json& report, const Style& style) {
  const Json* model = file_with_role(report, "model");
  const Json* output = file_with_role(report, "output");
  if (model == nullptr || output == nullptr) return "";
  return wrapped("  next   niwaki compare " + printable(shell_word(text(*model, "name"))) + " " +
                     printable(shell_word(text(*output, "name"))) + " --per-layer",
                 style.columns < 40 ? 4 : 9, style);
}

std::string title(const Json& report) {
  const std::string word = verdict_word(report);
  const auto seconds = number(item(report, "run"), "seconds");
  const std::string start = word == "FAILED" ? "failed" : word == "STOPPED" ? "stopped" : "done";
  return start + (seconds ? (start == "done" ? " in " : " after ") + duration_text(*seconds) : "");
}

}  // namespace

std::string terminal_table(const Json& report, int columns, bool unicode, bool color) {
  const Style style{static_cast<size_t>(std::max(columns, 20)), unicode, color};
  const bool is_wide = style.columns >= kRule + 2;
  std::string table = "  " + title(report) + "\n";
  if (is_wide)
    table = "  " + padded(title(report), 22) + right_aligned("original", 10) +
            right_aligned("result", 11) + "   change\n";
  table += "  ";
  for (size_t i = 0; i < std::min(kRule, style.columns - 2); ++i) table += "─";
  table += "\n";
  for (const Row& row : headline(report)) {
    table += is_wide ? table_row(row, style) : stacked_row(row, style);
    if (row.label.rfind("latency", 0) != 0) continue;
    for (const std::string& cause : slowdown_causes(report))
      table += wrapped("    " + printable(cause), 4, style);
  }
  table += labelled("its bytes", joined(bytes_by_part(report), " · "), style);
  table += labelled("nodes", joined(node_counts(report), " · "), style);
  table += kept_lines(report, style);
  table += labelled("verified", joined(verification(report), " · "), style);
  for (const Row& row : headline(report)) {
    if (row.label.find(", fidelity") == std::string::npos) continue;
    table += labelled("note", "fidelity to the original, not accuracy", style);
    break;
  }
  table += wrote_lines(report, style) + next_line(report, style);
  return unicode ? table : ascii(table);
}

}  // namespace niwaki
