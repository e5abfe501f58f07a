#pragma once

#include "compress/json.h"

#include <optional>
#include <string>
#include <vector>

namespace niwaki {

/// One line of the headline table; an empty cell is not shown, all of a row's cells are plain text
/// (not escaped).
struct Row {
  std::string label;                  // "top1 (10,000 samples)"
  std::string before, after, change;  // "91.70 %", "91.52 %", "-0.18 pt [-0.39, +0.02]"
  std::string verdict;                // "ok", "MISSED", "unclear" or ""
  std::string limit;                  // "limit -1 pt" where the margin is under 2x
  bool is_worse = false;              // larger or slower: printed in red
};

/// File, multiply-accumulates where they changed, quality, latency and peak memory; what was not measured says so.
std::vector<Row> headline(const Json& report);
/// "weights 272 kB", "scales 6 kB", "graph and names 51 kB".
std::vector<std::string> bytes_by_part(const Json& report);
/// "22 INT8", "9 without weights", "kept as float: none".
std::vector<std::string> node_counts(const Json& report);
/// Skipped nodes with weights, most bytes first.
std::vector<const Json*> kept_nodes(const Json& report);
/// "onnx checker", "onnxruntime 1.23", "differs 0.02, allowed 0.09".
std::vector<std::string> verification(const Json& report);
/// Why the result is slower, as far as it is known, and what to try.
std::vector<std::string> slowdown_causes(const Json& report);
/// "PASSED", "MISSED", "INCONCLUSIVE", "NOT GATED", "FAILED", "STOPPED".
std::string verdict_word(const Json& report);
/// The file with this role, or null.
const Json* file_with_role(const Json& report, const std::string& role);

/// Lookups that never throw: a report may lack any part.
const Json& item(const Json& json, const std::string& key);
std::optional<double> number(const Json& json, const std::string& key);
std::string text(const Json& json, const std::string& key);
bool flag(const Json& json, const std::string& key);
std::string joined(const std::vector<std::string>& parts, const std::string& separator);

}  // namespace niwaki
