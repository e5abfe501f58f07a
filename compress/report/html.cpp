#include "compress/report/html.h"

#include "compress/report/escape.h"
#include "compress/report/html_methods.h"
#include "compress/report/html_parts.h"
#include "compress/report/html_style.h"
#include "compress/report/numbers.h"
#include "compress/report/summary.h"
#include "compress/report/svg.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <vector>

namespace niwaki {
namespace {

constexpr size_t kPlotted = 20;  // nodes in a plot; the table under it has more
constexpr size_t kHistograms = 12;

// ---- from the top of the page to its end

std::string banner(const Json& report) {
  const std::string word = verdict_word(report);
  std::vector<std::string> parts;
  for (const Row& row : headline(report)) {
    if (!row.change.empty() && row.change != "not measured")
      parts.push_back(row.label + ": " + row.change);
  }
  return element("div", element("strong", word) + element("span", html_text(joined(parts, " · "))),
                 "class=\"banner " + tone(word) + "\"");
}

std::string headline_table(const Json& report) {
  std::string body;
  for (const Row& row : headline(report)) {
    const std::string change = row.is_worse ? element("span", html_text(row.change), "class=\"worse\"") : html_text(row.change);
    const std::string limit =
        row.limit.empty() ? ""
                          : "<br>" + element("span", html_text(row.limit), "class=\"muted-text\"");
    body += element("tr", element("td", html_text(row.label)) +
                              element("td", html_text(row.before), "class=\"n\"") +
                              element("td", html_text(row.after), "class=\"n\"") +
                              element("td", change + limit, "class=\"change\"") +
                              element("td", tag(row.verdict))) +
            "\n";
  }
  const std::string head =
      "<th></th><th class=\"n\">original</th><th class=\"n\">result</th><th>change</th><th></th>";
  std::string notes;
  if (!node_counts(report).empty())
    notes += element("p", "Nodes: " + html_text(joined(node_counts(report), " · ")),
                     "class=\"muted-text\"");
  notes += element("p", "Verified: " + html_text(joined(verification(report), " · ")),
                   "class=\"muted-text\"");
  for (const Json& entry : item(report, "quality")) {
    if (!flag(entry, "is_fidelity")) continue;
    notes += element("p", "Fidelity to the original, not accuracy.");
    break;
  }
  std::string causes;
  for (const std::string& cause : slowdown_causes(report))
    causes += element("li", html_text(cause));
  if (!causes.empty())
    notes += element("p", "Why it is slower:", "class=\"worse\"") + element("ul", causes);
  return section(
      "Before and after",
      element("div",
              element("table", "<thead><tr>" + head + "</tr></thead>" + element("tbody", body),
                      "class=\"head\""),
              "class=\"scroll\"") +
          element("div", notes, "class=\"notes\""));
}

std::string gates_table(const Json& report) {
  std::vector<Cells> rows;
  for (const Json& gate : item(report, "gates")) {
    const std::string unit = text(gate, "unit");
    const bool is_bytes = unit == "B";
    const auto shown = [&](const std::optional<double>& value) {
      return !value     ? std::string("not measured")
             : is_bytes ? size_text(*value) + " (" + grouped(*value) + ")"
                        : plain(std::stod(fixed(*value, 3))) + (unit == "x" ? "x" : " " + unit);
    };
    const Json& interval = item(gate, "ci95");
    std::string range;
    if (!is_bytes && interval.is_array() && interval.size() == 2 && interval[0].is_number() &&
        interval[1].is_number() && interval[0] != interval[1]) {
      range = "[" + fixed(interval[0].get<double>(), 2) + ", " +
              fixed(interval[1].get<double>(), 2) + "]";
    }
    const std::string verdict = text(gate, "verdict");
    rows.push_back({cell(gate, "name"), html_text(shown(number(gate, "value"))), html_text(range),
                    (flag(gate, "is_minimum") ? "at least " : "at most ") +
                        html_text(shown(number(gate, "limit"))),
                    tag(verdict) + (flag(gate, "informational") ? " informational" : "")});
  }
  return rows.empty() ? ""
                      : section("Gates", table({{"gate"},
                                                {"value", true},
                                                {"95 % interval", true},
                                                {"limit", true},
                                                {"verdict"}},
                                               rows));
}

std::string parts_plot(const Json& report) {
  std::vector<Bar> bars;
  std::vector<Cells> rows;
  const Json& before = item(item(report, "before"), "bytes");
  const Json& after = item(item(report, "after"), "bytes");
  for (const char* part : {"weights", "scales", "graph", "strings", "metadata"}) {
    const auto was = number(before, part), is = number(after, part);
    if (was.value_or(0) == 0 && is.value_or(0) == 0) continue;
    bars.push_back({part, is.value_or(0),
                    size_text(was.value_or(0)) + " → " + size_text(is.value_or(0)), was});
    rows.push_back({part, grouped(was.value_or(0)), grouped(is.value_or(0)),
                    grouped(is.value_or(0) - was.value_or(0))});
  }
  if (bars.empty()) return "";
  return section(
      "Bytes by part",
      bar_chart(bars, "Bytes by part, before and after") +
          folded(
              "Table",
              table({{"part"}, {"bytes before", true}, {"bytes after", true}, {"difference", true}},
                    rows)));
}

std::vector<const Json*> nodes_by(const Json& report, const std::string& key, bool ascending) {
  std::vector<const Json*> nodes;
  for (const Json& node : item(report, "nodes")) {
    if (number(node, key)) nodes.push_back(&node);
  }
  std::stable_sort(nodes.begin(), nodes.end(), [&](const Json* a, const Json* b) {
    return ascending ? *number(*a, key) < *number(*b, key) : *number(*a, key) > *number(*b, key);
  });
  return nodes;
}

std::string nodes_plot(const Json& report) {
  const std::vector<const Json*> nodes = nodes_by(report, "bytes_before", false);
  std::vector<Bar> bars;
  std::vector<Cells> rows;
  for (const Json* node : nodes) {
    const double was = *number(*node, "bytes_before"),
                 is = number(*node, "bytes_after").value_or(was);
    if (was == 0 && is == 0) continue;
    if (bars.size() < kPlotted)
      bars.push_back({text(*node, "name"), is, size_text(was) + " → " + size_text(is), was});
    if (rows.size() < kTabled) {
      rows.push_back({cell(*node, "name"), cell(*node, "op"), cell(*node, "dtype_before"),
                      cell(*node, "dtype_after"), grouped(was), grouped(is)});
    }
  }
  if (bars.empty()) return "";
  const std::vector<Column> columns = {{"node"},
                                       {"op"},
                                       {"type before"},
                                       {"type after"},
                                       {"bytes before", true},
                                       {"bytes after", true}};
  return section("Bytes by node, largest first",
                 bar_chart(bars, "Bytes by node, before and after") +
                     folded("Table", table(columns, rows) + more_than(nodes.size(), kTabled)));
}

std::string sensitivity_plot(const Json& report) {
  const bool has_drops = !nodes_by(report, "drop", false).empty();
  const std::vector<const Json*> nodes =
      has_drops ? nodes_by(report, "drop", false) : nodes_by(report, "sqnr_db", true);
  std::vector<Bar> bars;
  std::vector<Cells> rows;
  for (const Json* node : nodes) {
    const auto drop = number(*node, "drop"), sqnr = number(*node, "sqnr_db");
    if (bars.size() < kPlotted)
      bars.push_back({text(*node, "name"), has_drops ? *drop : *sqnr,
                      has_drops ? with_sign(-*drop, 3) : fixed(*sqnr, 1) + " dB", std::nullopt});
    if (rows.size() < kTabled)
      rows.push_back({cell(*node, "name"), cell(*node, "op"), optional_text(drop, 3),
                      optional_text(sqnr, 1), optional_text(number(*node, "clipped"), 5)});
  }
  if (bars.empty()) return "";
  const std::string how =
      has_drops ? "What changing this node alone costs; the longest bar is the most sensitive node."
                : "Signal to quantization noise of each changed node; the shortest bar is the "
                  "noisiest node.";
  const std::vector<Column> columns = {
      {"node"}, {"op"}, {"drop", true}, {"SQNR, dB", true}, {"share clipped", true}};
  return section("Sensitivity, worst first",
                 element("p", how, "class=\"muted-text\"") +
                     bar_chart(bars, "Sensitivity by node") +
                     folded("Table", table(columns, rows) + more_than(nodes.size(), kTabled)));
}

std::vector<double> numbers(const Json& json, const std::string& key) {
  std::vector<double> values;
  for (const Json& value : item(json, key))
    values.push_back(value.is_number() ? value.get<double>() : 0);
  return values;
}

std::string histograms(const Json& report) {
  std::vector<const Json*> nodes;
  for (const Json& node : item(report, "nodes")) {
    if (item(node, "histogram").is_object()) nodes.push_back(&node);
  }
  std::stable_sort(nodes.begin(), nodes.end(), [](const Json* a, const Json* b) {
    return number(*a, "sqnr_db").value_or(1e9) < number(*b, "sqnr_db").value_or(1e9);
  });
  std::string figures;
  std::vector<Cells> rows;
  for (size_t i = 0; i < std::min(nodes.size(), kHistograms); ++i) {
    const Json& shape = item(*nodes[i], "histogram");
    const double lo = number(shape, "lo").value_or(0), hi = number(shape, "hi").value_or(0);
    const std::vector<double> edges = numbers(shape, "edges"), counts = numbers(shape, "counts");
    const std::string plot =
        histogram(edges, counts, lo, hi, "Values of " + text(*nodes[i], "name"));
    if (plot.empty()) continue;
    figures += element("div", element("h3", cell(*nodes[i], "name")) + plot);
    rows.push_back({cell(*nodes[i], "name"), plain(edges.front()), plain(edges.back()), plain(lo),
                    plain(hi), optional_text(number(*nodes[i], "sqnr_db"), 1)});
  }
  if (figures.empty()) return "";
  const std::vector<Column> columns = {{"node"},           {"smallest", true},
                                       {"largest", true},  {"range from", true},
                                       {"range to", true}, {"SQNR, dB", true}};
  return section(
      "Ranges of the noisiest nodes",
      element("p", "Counts are on a logarithmic scale; dashed lines are the chosen range.",
              "class=\"muted-text\"") +
          element("div", figures, "class=\"grid\"") + folded("Table", table(columns, rows)));
}

std::string latency_plot(const Json& report) {
  const Json& latency = item(report, "latency");
  const auto ratio = number(latency, "ratio");
  if (!ratio) return "";
  Dot dot{.label = "result / original", .value = *ratio};
  const std::vector<double> interval = numbers(latency, "ci95");
  dot.text = fixed(*ratio, 3) + "x";
  if (interval.size() == 2) {
    dot.lo = interval[0];
    dot.hi = interval[1];
    dot.text += " [" + fixed(interval[0], 2) + ", " + fixed(interval[1], 2) + "]";
  }
  std::vector<Cells> rows;
  for (const char* side : {"before_ms", "after_ms"}) {
    const Json& times = item(latency, side);
    rows.push_back({side == std::string("before_ms") ? "original" : "result",
                    optional_text(number(times, "min"), 3), optional_text(number(times, "p50"), 3),
                    optional_text(number(times, "p95"), 3), optional_text(number(times, "mean"), 3),
                    optional_text(number(times, "sd"), 3)});
  }
  const std::string how = text(latency, "runtime") + " " + text(latency, "version") + ", threads " +
                          plain(number(latency, "threads").value_or(0)) + ", batch " +
                          plain(number(latency, "batch").value_or(1)) + ", " +
                          grouped(number(latency, "pairs").value_or(0)) + " pairs in " +
                          plain(number(latency, "rounds").value_or(1)) +
                          " fresh process pairs. Below 1 is faster.";
  return section("Latency",
                 element("p", html_text(how), "class=\"muted-text\"") +
                     dot_plot(std::vector<Dot>{dot}, 1, "Latency ratio with its 95 % interval") +
                     table({{"model"},
                            {"min, ms", true},
                            {"p50, ms", true},
                            {"p95, ms", true},
                            {"mean, ms", true},
                            {"sd, ms", true}},
                           rows));
}

std::string trials_table(const Json& report) {
  std::vector<Cells> rows;
  for (const Json& trial : item(report, "trials")) {
    rows.push_back(
        {std::to_string(rows.size()),
         html_text(
             item(trial, "settings").is_null()
                 ? ""
                 : item(trial, "settings").dump(-1, ' ', false, Json::error_handler_t::replace)),
         size_cell(trial, "file_bytes"), optional_text(number(trial, "drop"), 3)});
  }
  return rows.empty()
             ? ""
             : section("Trials",
                       table({{"trial"}, {"settings"}, {"file", true}, {"drop", true}}, rows));
}

std::string not_compressed(const Json& report) {
  std::vector<Cells> rows;
  for (const Json* node : kept_nodes(report)) {
    if (rows.size() < kTabled)
      rows.push_back({cell(*node, "name"), cell(*node, "op"), size_cell(*node, "bytes_before"),
                      cell(*node, "code"), cell(*node, "reason")});
  }
  std::string content =
      rows.empty() ? "" : table({{"node"}, {"op"}, {"bytes", true}, {"code"}, {"why"}}, rows);
  std::string asked;
  for (const Json& entry : item(report, "not_done")) {
    const std::string what = entry.is_string()
                                 ? entry.get<std::string>()
                                 : joined({text(entry, "what"), text(entry, "reason")}, ": ");
    asked += element("li", html_text(what));
  }
  if (!asked.empty()) content += element("p", "Asked for and not done:") + element("ul", asked);
  return section("Not compressed, and why", content);
}

std::string listed(const Json& entries, const std::string& title) {
  std::string lines;
  for (const Json& entry : entries) {
    if (entry.is_string()) {
      lines += element("li", html_text(entry.get<std::string>()));
      continue;
    }
    std::vector<std::string> parts;
    for (const char* key : {"code", "what", "message", "why", "reason", "help"}) {
      if (!text(entry, key).empty()) parts.push_back(text(entry, key));
    }
    lines += element("li", html_text(joined(parts, " · ")));
  }
  return lines.empty() ? "" : section(title, element("ul", lines));
}

std::string reproduce(const Json& report) {
  std::string content;
  const Json& command = item(report, "command");
  const Json& recipe = item(report, "recipe");
  if (command.is_string()) content += element("pre", html_text(command.get<std::string>()));
  // recipes keep their line breaks: each line is escaped by itself
  if (!recipe.is_null()) {
    const std::string whole = recipe.is_string()
                                  ? recipe.get<std::string>()
                                  : recipe.dump(2, ' ', false, Json::error_handler_t::replace);
    std::string lines;
    for (size_t start = 0; start < whole.size();) {
      const size_t end = std::min(whole.find('\n', start), whole.size());
      lines += html_text(whole.substr(start, end - start)) + "\n";
      start = end + 1;
    }
    content += folded("Resolved recipe", element("pre", lines));
  }
  return section("How to reproduce", content);
}

std::string provenance(const Json& report) {
  std::vector<Cells> rows;
  for (const Json& file : item(report, "files")) {
    rows.push_back({cell(file, "role"), cell(file, "name"), size_cell(file, "bytes"),
                    element("code", cell(file, "sha256"))});
  }
  const Json& tool = item(report, "tool");
  const Json& run = item(report, "run");
  std::vector<std::string> facts = {"niwaki " + text(tool, "version")};
  for (const char* key : {"time", "cpu", "features"}) {
    if (!text(run, key).empty()) facts.push_back(text(run, key));
  }
  std::string content =
      rows.empty() ? "" : table({{"role"}, {"file"}, {"size", true}, {"sha256"}}, rows) + "<p></p>";
  content += element("p", html_text(joined(facts, " · ")), "class=\"muted-text\"");
  if (!text(report, "content_hash").empty())
    content += element("p", "content hash " + element("code", cell(report, "content_hash")),
                       "class=\"muted-text\"");
  return section("Provenance", content);
}

}  // namespace

std::string html(const Json& report) {
  const Json* output = file_with_role(report, "output");
  const Json* model = file_with_role(report, "model");
  const std::string name = output != nullptr  ? text(*output, "name")
                           : model != nullptr ? text(*model, "name")
                                              : "report";
  std::string page =
      "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">"
      "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">";
  page += element("title", html_text(name) + " · niwaki") + element("style", kHtmlStyle) +
          "</head>\n<body><main>\n";
  page += element("p", "NIWAKI REPORT", "class=\"brand\"") + element("h1", html_text(name)) + "\n";
  if (model != nullptr && output != nullptr)
    page += element("p", "compressed from " + cell(*model, "name"), "class=\"lead\"");
  page += banner(report) + "\n" + headline_table(report) + gates_table(report) +
          trials_table(report) + parts_plot(report);
  page += nodes_plot(report) + method_sections(report) + sensitivity_plot(report) + histograms(report) +
          latency_plot(report) + not_compressed(report);
  page += listed(item(report, "changes"), "Changes to the model besides compression") +
          listed(item(report, "messages"), "Messages");
  page += reproduce(report) + provenance(report);
  return page + "</main></body></html>\n";
}

}  // namespace niwaki
