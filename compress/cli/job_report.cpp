#include "compress/cli/job_report.h"

#include "compress/footprint.h"
#include "compress/pipeline.h"

#include <algorithm>

namespace niwaki {

std::string name_of_file(const std::string& path) { return path.substr(path.rfind('/') + 1); }

Json node_rows(const std::vector<PassReport>& reports, const Graph& original) {
  std::map<std::string, Json> rows;
  std::vector<std::string> order;
  for (const PassReport& pass : reports) {
    if (only_cleans_up(pass.pass)) continue;
    for (const NodeReport& node : pass.nodes) {
      Json& row = rows[node.node];
      if (row.is_null()) {
        order.push_back(node.node);
        row = {{"name", node.node}};
      }
      const bool is_changed = node.outcome == Outcome::changed;
      if (is_changed) {
        row["outcome"] = "changed";
        row.erase("reason");
        row.update(node.metrics);
        row["pass"] = pass.pass;
      } else if (!row.contains("outcome")) {
        row["outcome"] = "skipped";
        row["reason"] = node.reason;
        if (!node.code.empty()) row["code"] = node.code;
      } else if (row["outcome"] == "skipped") {
        row["reason"] = node.reason;
      }
    }
  }
  std::map<std::string, std::string> ops;
  for (const NodeId id : original.all_nodes()) ops.emplace(original.label(id), original.node(id).op);
  Json nodes = Json::array();
  for (const std::string& name : order) {
    Json row = rows[name];
    if (ops.contains(name)) row["op"] = ops[name];
    nodes.push_back(std::move(row));
  }
  return nodes;
}

Json message_of(const std::string& note) {
  const size_t colon = note.find(':');
  return {{"code", note.substr(0, colon)}, {"message", note.substr(std::min(note.size(), colon + 2))}};
}

Json side_of(const Graph& graph, int64_t file_bytes) {
  const Footprint footprint = measure_footprint(graph);
  Json inputs = Json::array(), outputs = Json::array();
  const auto describe = [&](ValueId id) {
    Json dims = Json::array();
    if (graph.value(id).shape) {
      for (const Dim& dim : *graph.value(id).shape) {
        if (const auto* size = std::get_if<int64_t>(&dim)) dims.push_back(*size);
        else if (const auto* name = std::get_if<std::string>(&dim)) dims.push_back(*name);
        else dims.push_back(nullptr);
      }
    }
    return Json{{"name", graph.value(id).name}, {"dtype", name_of(graph.value(id).dtype)}, {"shape", dims}};
  };
  for (const ValueId id : graph.main().inputs) {
    if (!graph.constant(id)) inputs.push_back(describe(id));
  }
  for (const ValueId id : graph.main().outputs) outputs.push_back(describe(id));
  return {{"file_bytes", file_bytes}, {"bytes", to_json(footprint)},
          {"weights", footprint.num_weights}, {"bits_per_weight", footprint.num_weights ? 8.0 * static_cast<double>(file_bytes) / static_cast<double>(footprint.num_weights) : 0.0},
          {"opset", graph.opset()}, {"inputs", inputs}, {"outputs", outputs}};
}

Json pass_rows(const std::vector<PassReport>& reports) {
  Json rows = Json::array();
  for (const PassReport& pass : reports) {
    rows.push_back({{"name", pass.pass}, {"seconds", pass.seconds}, {"bytes_before", pass.bytes_before}, {"bytes_after", pass.bytes_after}, {"changed", pass.changed}});
    if (!pass.details.empty()) rows.back()["details"] = pass.details;
  }
  return rows;
}

Json change_rows(const std::vector<PassReport>& reports) {
  Json rows = Json::array();
  for (const PassReport& pass : reports) {
    for (const auto& [what, why] : pass.changes) rows.push_back({{"what", what}, {"why", why}, {"pass", pass.pass}});
  }
  return rows;
}

}  // namespace niwaki
