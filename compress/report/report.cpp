#include "compress/report/report.h"

#include "compress/atomic_file.h"
#include "compress/digest.h"
#include "compress/error.h"
#include "compress/report/html.h"
#include "compress/report/junit.h"
#include "compress/report/markdown.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <map>
#include <span>

namespace niwaki {
namespace {

std::string dumped(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

bool is_measured_time(const std::string& key) {
  return key == "seconds" || key == "time" || key == "latency" || key == "latency_ratio" ||
         key == "memory" || key.ends_with("_ms") || key.ends_with("_seconds") ||
         key.starts_with("peak_") || key.starts_with("rss");
}

void erase_times(Json& json) {
  if (json.is_array()) {
    for (Json& entry : json) erase_times(entry);
  }
  if (!json.is_object()) return;
  for (auto entry = json.begin(); entry != json.end();) {
    if (is_measured_time(entry.key())) {
      entry = json.erase(entry);
    } else {
      erase_times(entry.value());
      ++entry;
    }
  }
}

/// Times of single nodes, in facts and in reasons ("measured: ...").
void erase_node_times(Json& nodes) {
  if (!nodes.is_array()) return;
  for (Json& node : nodes) {
    if (!node.is_object()) continue;
    for (const char* key : {"measured_ms_before", "measured_ms_after"}) node.erase(key);
    const auto reason = node.find("reason");
    if (reason != node.end() && reason->is_string() && reason->get<std::string>().starts_with("measured: ")) *reason = "measured";
  }
}

bool is_about_latency(const Json& gate) {
  return gate.is_object() && gate.value("name", "") == "latency";
}

/// Latency gates, and the verdict where it may hang on one.
void erase_latency_gates(Json& report) {
  if (!report.contains("gates") || !report["gates"].is_array()) return;
  Json kept = Json::array();
  bool decides = false;
  for (const Json& gate : report["gates"]) {
    if (is_about_latency(gate))
      decides = decides || !gate.value("informational", false);
    else
      kept.push_back(gate);
  }
  report["gates"] = kept;
  if (!decides) return;
  report.erase("verdict");
  report.erase("status");
}

/// E6003, W34xx and E6004 about latency quote measured times.
void erase_latency_messages(Json& report) {
  if (!report.contains("messages") || !report["messages"].is_array()) return;
  Json kept = Json::array();
  for (const Json& entry : report["messages"]) {
    const std::string code = entry.is_object() ? entry.value("code", "") : "";
    const bool quotes_times =
        code == "E6003" || code == "W3403" ||
        (code == "E6004" && entry.value("message", "").starts_with("latency"));
    if (!quotes_times) kept.push_back(entry);
  }
  report["messages"] = kept;
}

}  // namespace

std::string content_hash(const Json& report) {
  Json stable = report;
  for (const char* key : {"run", "latency", "memory", "content_hash"}) stable.erase(key);
  for (const char* key : {"passes", "trials"}) {
    if (stable.contains(key)) erase_times(stable[key]);
  }
  if (stable.contains("nodes")) erase_node_times(stable["nodes"]);
  erase_latency_gates(stable);
  erase_latency_messages(stable);
  const std::string text = dumped(stable, -1);
  return sha256(std::as_bytes(std::span(text)));
}

std::string report_file_name(const std::string& format) {
  static const std::map<std::string, std::string> names = {
      {"card", "README.md"},   {"csv", "report.csv"},  {"html", "report.html"},
      {"json", "report.json"}, {"junit", "junit.xml"}, {"md", "report.md"},
      {"pr", "pr.md"}};
  const auto found = names.find(format);
  if (found != names.end()) return found->second;
  std::vector<std::string> known;
  for (const auto& [name, file] : names) known.push_back(name);
  const std::string near = nearest(format, known);
  throw UsageError("E2011", "unknown report format '" + printable(format) + "'",
                   {.found = near.empty() ? "" : "did you mean '" + near + "'?",
                    .help = "use card, csv, html, json, junit, md or pr"});
}

std::string render(const Json& report, const std::string& format) {
  report_file_name(format);
  if (format == "json") return dumped(report, 1) + "\n";
  if (format == "html") return html(report);
  if (format == "md") return markdown(report);
  if (format == "junit") return junit(report);
  if (format == "csv") return csv(report);
  return format == "pr" ? pull_request(report) : model_card(report);
}

void write_reports(const Json& report, const std::string& directory,
                   const std::vector<std::string>& formats) {
  std::vector<std::string> ordered = formats;
  std::stable_partition(ordered.begin(), ordered.end(),
                        [](const std::string& format) { return format == "json"; });
  std::vector<std::string> texts;  // all are made before any is written
  for (const std::string& format : ordered) texts.push_back(render(report, format));
  for (size_t i = 0; i < ordered.size(); ++i)
    write_file(directory + "/" + report_file_name(ordered[i]), texts[i]);
}

}  // namespace niwaki
