#pragma once

#include "compress/pass.h"

namespace niwaki {

/// What stands behind the last slash.
std::string name_of_file(const std::string& path);
/// "W1106: nodes were sorted" as an entry of messages[] of report.json.
Json message_of(const std::string& note);
/// `before` or `after` of report.json: bytes by part, weights, opset, inputs and outputs.
Json side_of(const Graph& graph, int64_t file_bytes);
/// One row per node that a pass looked at; the last word on a node counts.
Json node_rows(const std::vector<PassReport>& reports, const Graph& original);
/// One row per pass: seconds, bytes, and details such as the losses of each epoch.
Json pass_rows(const std::vector<PassReport>& reports);
/// What of the input is not in the output bit for bit, and why.
Json change_rows(const std::vector<PassReport>& reports);

}  // namespace niwaki
