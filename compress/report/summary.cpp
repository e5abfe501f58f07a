#include "compress/report/summary.h"

#include "compress/report/numbers.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <map>

namespace niwaki {
namespace {

struct Pair {
  double lo = 0, hi = 0;
};

std::optional<Pair> pair(const Json& json, const std::string& key) {
  const Json& found = item(json, key);
  if (!found.is_array() || found.size() != 2 || !found[0].is_number() || !found[1].is_number())
    return std::nullopt;
  return Pair{found[0].get<double>(), found[1].get<double>()};
}

std::string in_brackets(const std::string& lo, const std::string& hi) {
  return " [" + lo + ", " + hi + "]";
}

/// "3.32x smaller", "1.02x larger", "same".
std::string ratio_text(double before, double after, const std::string& less,
                       const std::string& more) {
  if (before == after) return "same";
  if (before <= 0 || after <= 0) return "";
  return before > after ? fixed(before / after, 2) + "x " + less
                        : fixed(after / before, 2) + "x " + more;
}

Row not_measured(const std::string& label) { return {.label = label, .change = "not measured"}; }

Row file_row(const Json& report) {
  const auto before = number(item(report, "before"), "file_bytes"),
             after = number(item(report, "after"), "file_bytes");
  if (!before && !after) return not_measured("file");
  Row row{.label = "file"};
  const double scale = std::max(before.value_or(0), after.value_or(0));
  if (before) row.before = size_text(*before, scale);
  if (after) row.after = size_text(*after, scale);
  if (!before || !after) return row;
  row.change = ratio_text(*before, *after, "smaller", "LARGER");
  row.is_worse = *after > *before;
  return row;
}

/// "40.55 M", "268.8 k".
std::string count_text(double count) {
  return count >= 1e9 ? fixed(count / 1e9, 2) + " G" : count >= 1e6 ? fixed(count / 1e6, 2) + " M" : fixed(count / 1e3, 1) + " k";
}

/// Nothing where the result computes as much as the original.
std::optional<Row> macs_row(const Json& report) {
  const auto before = number(item(report, "before"), "macs"), after = number(item(report, "after"), "macs");
  if (!before || !after || *before <= 0 || std::abs(*before - *after) < 1e-3 * *before) return std::nullopt;
  return Row{.label = "MACs", .before = count_text(*before), .after = count_text(*after),
             .change = ratio_text(*before, *after, "fewer", "MORE"), .is_worse = *after > *before};
}

const Json& gate_named(const Json& report, const std::string& prefix) {
  for (const Json& gate : item(report, "gates")) {
    if (text(gate, "name").rfind(prefix, 0) == 0) return gate;
  }
  return item(Json(), "");
}

void add_verdict(const Json& gate, double sign, Row& row) {
  const std::string verdict = text(gate, "verdict");
  if (verdict.empty() || flag(gate, "informational")) return;
  row.verdict = verdict == "pass" ? "ok" : verdict == "fail" ? "MISSED" : "unclear";
  const auto limit = number(gate, "limit");
  const auto interval = pair(gate, "ci95");
  if (!limit || flag(gate, "is_minimum")) return;
  const double used = interval ? interval->hi : number(gate, "value").value_or(0);
  if (2 * used > *limit)
    row.limit = "limit " + with_sign(sign * *limit, 2) + " " + text(gate, "unit");
}

Row quality_row(const Json& report, const Json& entry) {
  const std::string metric = text(entry, "metric"), unit = text(entry, "unit");
  const bool is_share = flag(entry, "is_share");
  const int digits = unit == "nat" || unit.empty() ? 4 : 2;
  const std::string shown = is_share                                 ? " %"
                            : unit.empty() || metric == "perplexity" ? ""
                                                                     : " " + unit;
  const auto value = [&](const char* key) {
    const auto found = number(entry, key);
    return found ? fixed((is_share ? 100 : 1) * *found, digits) + shown : "";
  };
  Row row{.label = metric, .before = value("before"), .after = value("after")};
  if (const auto samples = number(entry, "samples"))
    row.label += " (" + grouped(*samples) + " samples)";
  const auto drop = number(entry, "drop");
  const auto interval = pair(entry, "ci95");
  const double sign = item(entry, "higher_is_better") == Json(false) ? 1 : -1;
  const std::string suffix = unit.empty() ? "" : " " + unit;
  if (drop) {
    row.change = with_sign(sign * *drop, digits) + suffix;
    const double a = interval ? sign * interval->lo : 0, b = interval ? sign * interval->hi : 0;
    row.change +=
        interval ? in_brackets(with_sign(std::min(a, b), digits), with_sign(std::max(a, b), digits))
                 : " (no interval)";
  } else if (interval) {
    row.change = "95 %" + in_brackets(fixed(interval->lo, digits), fixed(interval->hi, digits));
  }
  if (row.after.empty() && unit == "dB") row.after = "exact";
  if (flag(entry, "is_fidelity")) row.label += ", fidelity";
  add_verdict(gate_named(report, "quality:" + metric), sign, row);
  return row;
}

Row latency_row(const Json& report) {
  const Json& latency = item(report, "latency");
  const auto before = number(item(latency, "before_ms"), "p50"),
             after = number(item(latency, "after_ms"), "p50");
  std::string label = "latency p50";
  if (const auto batch = number(latency, "batch")) label += ", batch " + plain(*batch);
  if (!before || !after) return not_measured(label);
  const int digits = std::max(*before, *after) < 100 ? 2 : 0;
  Row row{.label = label,
          .before = fixed(*before, digits) + " ms",
          .after = fixed(*after, digits) + " ms"};
  const double ratio = number(latency, "ratio").value_or(*after / *before);
  const auto interval = pair(latency, "ci95");
  const bool is_even = interval && interval->lo <= 1 && interval->hi >= 1;      // nobody can tell
  row.is_worse = ratio > 1 && !is_even;
  row.change = is_even ? "as fast" : row.is_worse ? fixed(ratio, 2) + "x SLOWER" : fixed(1 / ratio, 2) + "x faster";
  if (interval && row.is_worse)
    row.change += in_brackets(fixed(interval->lo, 2), fixed(interval->hi, 2));
  if (interval && !row.is_worse)
    row.change += in_brackets(fixed(1 / interval->hi, 2), fixed(1 / interval->lo, 2));
  const Json& gate = gate_named(report, "latency");
  add_verdict(gate, 1, row);
  row.limit = row.limit.empty()
                  ? ""
                  : "limit " + plain(number(gate, "limit").value_or(0)) + "x of the original's";
  return row;
}

Row memory_row(const Json& report) {
  const Json& memory = item(report, "memory");
  const auto before = number(memory, "peak_before"), after = number(memory, "peak_after");
  if (!before || !after) return not_measured("peak memory");
  const double scale = std::max(*before, *after);
  Row row{.label = "peak memory",
          .before = size_text(*before, scale),
          .after = size_text(*after, scale)};
  row.change = ratio_text(*before, *after, "less", "MORE");
  row.is_worse = *after > *before;
  return row;
}

std::string dtype_word(std::string dtype) {
  std::transform(dtype.begin(), dtype.end(), dtype.begin(),
                 [](char c) { return static_cast<char>(c >= 'a' && c <= 'z' ? c - 32 : c); });
  return dtype;
}

}  // namespace

const Json& item(const Json& json, const std::string& key) {
  static const Json kNothing;
  if (!json.is_object()) return kNothing;
  const auto found = json.find(key);
  return found == json.end() ? kNothing : *found;
}

std::optional<double> number(const Json& json, const std::string& key) {
  const Json& found = item(json, key);
  return found.is_number() ? std::optional(found.get<double>()) : std::nullopt;
}

std::string text(const Json& json, const std::string& key) {
  const Json& found = item(json, key);
  return found.is_string() ? found.get<std::string>() : "";
}

bool flag(const Json& json, const std::string& key) { return item(json, key) == Json(true); }

std::string joined(const std::vector<std::string>& parts, const std::string& separator) {
  std::string all;
  for (size_t i = 0; i < parts.size(); ++i) all += (i == 0 ? "" : separator) + parts[i];
  return all;
}

std::vector<Row> headline(const Json& report) {
  std::vector<Row> rows = {file_row(report)};
  if (!text(gate_named(report, "size"), "verdict").empty()) {
    const std::string verdict = text(gate_named(report, "size"), "verdict");
    rows[0].verdict = verdict == "pass" ? "ok" : "MISSED";
  }
  if (auto macs = macs_row(report)) rows.push_back(std::move(*macs));
  const Json& quality = item(report, "quality");
  for (const Json& entry : quality) {
    if (text(entry, "role") != "search" || quality.size() == 1)
      rows.push_back(quality_row(report, entry));
  }
  if (quality.empty()) rows.push_back(not_measured("quality"));
  rows.push_back(latency_row(report));
  rows.push_back(memory_row(report));
  return rows;
}

std::vector<std::string> bytes_by_part(const Json& report) {
  const Json& bytes = item(item(report, "after"), "bytes");
  if (!bytes.is_object()) return {};
  const auto part = [&](const char* key) { return number(bytes, key).value_or(0); };
  std::vector<std::string> parts = {"weights " + size_text(part("weights"))};
  if (part("scales") > 0) parts.push_back("scales " + size_text(part("scales")));
  parts.push_back("graph and names " +
                  size_text(part("graph") + part("strings") + part("metadata")));
  return parts;
}

std::vector<const Json*> kept_nodes(const Json& report) {
  std::vector<const Json*> kept;
  for (const Json& node : item(report, "nodes")) {
    if (text(node, "outcome") == "skipped" && number(node, "bytes_before").value_or(0) > 0)
      kept.push_back(&node);
  }
  std::stable_sort(kept.begin(), kept.end(), [](const Json* a, const Json* b) {
    return number(*a, "bytes_before").value_or(0) > number(*b, "bytes_before").value_or(0);
  });
  return kept;
}

std::vector<std::string> node_counts(const Json& report) {
  if (!item(report, "nodes").is_array()) return {};
  std::map<std::string, int> changed;
  int num_bare = 0;
  for (const Json& node : item(report, "nodes")) {
    if (text(node, "outcome") == "changed") {
      const std::string dtype = text(node, "dtype_after");
      ++changed[dtype.empty() || dtype == text(node, "dtype_before") ? "changed"
                                                                     : dtype_word(dtype)];
    } else if (number(node, "bytes_before").value_or(0) == 0) {
      ++num_bare;
    }
  }
  std::vector<std::string> parts;
  for (const auto& [word, count] : changed) parts.push_back(std::to_string(count) + " " + word);
  if (num_bare > 0) parts.push_back(std::to_string(num_bare) + " without weights");
  const size_t num_kept = kept_nodes(report).size();
  parts.push_back("kept as float: " + (num_kept == 0 ? "none" : std::to_string(num_kept)));
  return parts;
}

std::vector<std::string> verification(const Json& report) {
  const Json& verification = item(report, "verification");
  const Json& runtime = item(verification, "runtime");
  std::vector<std::string> parts;
  if (flag(verification, "checker")) parts.push_back("onnx checker");
  if (flag(runtime, "ran")) {
    parts.push_back(text(runtime, "name") +
                    (text(runtime, "version").empty() ? "" : " " + text(runtime, "version")));
  } else {
    parts.push_back("not verified on ONNX Runtime");
  }
  const auto difference = number(verification, "max_abs_diff"),
             tolerance = number(verification, "tolerance");
  if (difference && tolerance) {
    parts.push_back("differs " + plain(std::stod(fixed(*difference, *difference < 0.01 ? 6 : 2))) +
                    ", allowed " + plain(*tolerance));
  }
  return parts;
}

std::vector<std::string> slowdown_causes(const Json& report) {
  const Json& latency = item(report, "latency");
  std::vector<std::string> causes;
  if (number(latency, "ratio").value_or(0) <= 1) return causes;
  for (const Json& cause : item(latency, "causes")) {
    if (cause.is_string()) causes.push_back(cause.get<std::string>());
  }
  std::vector<std::string> names;
  for (const Json& name : item(item(item(report, "verification"), "fusion"), "unfused")) {
    if (name.is_string() && names.size() < 3) names.push_back(name.get<std::string>());
  }
  const size_t all = item(item(item(report, "verification"), "fusion"), "unfused").size();
  if (!names.empty()) {
    const std::string more =
        all > names.size() ? " and " + std::to_string(all - names.size()) + " more" : "";
    causes.push_back("Q/DQ pairs that the runtime did not fuse: " + joined(names, ", ") + more);
  }
  if (!text(latency, "suggestion").empty()) causes.push_back("try " + text(latency, "suggestion"));
  return causes;
}

std::string verdict_word(const Json& report) {
  const std::string status = text(report, "status"), verdict = text(report, "verdict");
  if (status == "failed") return "FAILED";
  if (status == "stopped") return "STOPPED";
  if (verdict == "pass") return "PASSED";
  if (verdict == "fail") return "MISSED";
  return verdict == "inconclusive" ? "INCONCLUSIVE" : "NOT GATED";
}

const Json* file_with_role(const Json& report, const std::string& role) {
  for (const Json& file : item(report, "files")) {
    if (text(file, "role") == role) return &file;
  }
  return nullptr;
}

}  // namespace niwaki
