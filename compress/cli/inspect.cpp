#include "compress/cli/command.h"
#include "compress/cli/graph_facts.h"
#include "compress/cli/prunable.h"
#include "compress/cli/terminal.h"
#include "compress/executor.h"
#include "compress/footprint.h"
#include "compress/macs.h"
#include "compress/onnx/infer_shapes.h"
#include "compress/report/numbers.h"

namespace niwaki {
namespace {

constexpr size_t kMostRows = 2000, kMostRisks = 50;

bool is_plain_float(const Constant& constant) {
  return constant.storage.defined() && (constant.dtype == DType::float32 || constant.dtype == DType::float64 || constant.dtype == DType::float16 || constant.dtype == DType::bfloat16);
}

std::vector<ValueId> constants(const Graph& graph) {
  std::vector<ValueId> ids;
  for (size_t i = 1; i < graph.num_values(); ++i) {
    if (graph.constant(static_cast<ValueId>(i))) ids.push_back(static_cast<ValueId>(i));
  }
  return ids;
}

Json weight_json(const Graph& graph, ValueId id) {
  const Constant& constant = *graph.constant(id);
  Json row = {{"name", printable(graph.value(id).name)}, {"dtype", name_of(constant.dtype)}, {"shape", constant.sizes}, {"bytes", byte_size(constant)}};
  if (!is_plain_float(constant) || constant.storage.numel() == 0) return row;
  const Tensor numbers = constant.storage.to(at::kFloat);
  const double low = numbers.min().item<double>(), high = numbers.max().item<double>();
  row["min"] = std::isfinite(low) ? Json(low) : Json(nullptr);
  row["max"] = std::isfinite(high) ? Json(high) : Json(nullptr);
  row["not_finite"] = numbers.numel() - at::isfinite(numbers).sum().item<int64_t>();
  return row;
}

Json risks(const Model& model) {
  Json list = Json::array();
  const auto add = [&](const std::string& code, const std::string& message) {
    if (list.size() < kMostRisks) list.push_back({{"code", code}, {"message", printable(message, 400)}});
  };
  for (const std::string& note : model.notes) add(note.substr(0, note.find(':')), note.substr(std::min(note.size(), note.find(':') + 2)));
  for (const ValueId id : constants(model.graph)) {
    const Constant& constant = *model.graph.constant(id);
    if (!is_plain_float(constant)) continue;
    const int64_t count = constant.storage.numel() - at::isfinite(constant.storage).sum().item<int64_t>();
    if (count > 0) add("W1306", cat("weight '", model.graph.value(id).name, "' holds ", count, " numbers that are not finite"));
  }
  for (const std::string& node : unsupported_nodes(model.graph)) add("E3101", cat("node ", node, " cannot be run by the built-in executor"));
  return list;
}

Json node_rows(const Graph& graph) {
  Json rows = Json::array();
  const KnownSizes sizes = inferred_sizes(graph);
  for (const NodeId id : graph.all_nodes()) {
    const Node& node = graph.node(id);
    Json outputs = Json::array();
    for (const ValueId output : node.outputs) {
      if (output != ValueId::absent) outputs.push_back(value_json(graph, output));
    }
    const auto macs = node_macs(graph, id, sizes);
    rows.push_back({{"name", printable(graph.label(id))}, {"op", op_name(node)}, {"outputs", outputs}, {"macs", macs ? Json(*macs) : Json(nullptr)}});
  }
  return rows;
}

Json facts(const Model& model, const CommandLine& line) {
  const Graph& graph = model.graph;
  Json inputs = Json::array(), outputs = Json::array(), opsets = Json::object();
  for (const ValueId id : graph.main().inputs) {
    if (!graph.constant(id)) inputs.push_back(value_json(graph, id));
  }
  for (const ValueId id : graph.main().outputs) outputs.push_back(value_json(graph, id));
  for (const auto& [domain, number] : graph.header().opsets) opsets[domain.empty() ? "ai.onnx" : printable(domain)] = number;
  const KnownSizes sizes = inferred_sizes(graph);
  double macs = 0;
  int64_t num_unknown = 0;
  for (const NodeId id : graph.all_nodes()) {
    const auto own = node_macs(graph, id, sizes);
    macs += own.value_or(0);
    num_unknown += !own;
  }
  const Footprint footprint = measure_footprint(graph);
  Json json = {{"file", printable(model.path, 4096)}, {"format", model.format}, {"sha256", model.sha256}, {"file_bytes", model.file_bytes},
               {"ir_version", graph.header().ir_version}, {"opset", graph.opset()}, {"opsets", opsets}, {"producer", printable(graph.header().producer_name)},
               {"inputs", inputs}, {"outputs", outputs}, {"ops", op_counts(graph)}, {"num_nodes", graph.all_nodes().size()},
               {"macs", macs}, {"nodes_without_macs", num_unknown}, {"weights", footprint.num_weights}, {"bytes", to_json(footprint)}, {"risks", risks(model)}};
  if (line.has("prunable")) json["prunable"] = prunable_json(graph);
  if (line.has("ops")) json["nodes"] = node_rows(graph);
  if (line.has("weights") || line.has("bytes")) {
    std::vector<Json> rows;
    for (const ValueId id : constants(graph)) rows.push_back(weight_json(graph, id));
    if (line.has("bytes")) std::stable_sort(rows.begin(), rows.end(), [](const Json& a, const Json& b) { return a["bytes"] > b["bytes"]; });
    json["constants"] = rows;
  }
  return json;
}

std::string shape_of(const Json& value) {
  if (!value["shape"].is_array()) return "?";
  std::vector<std::string> words;
  for (const Json& dim : value["shape"]) words.push_back(dim.is_number() ? std::to_string(dim.get<int64_t>()) : dim.is_string() ? dim.get<std::string>() : "?");
  return shape_text(words);
}

void print_values(Terminal& terminal, const std::string& label, const Json& values) {
  bool is_first = true;
  for (const Json& value : values) {
    terminal.print(cat(is_first ? padded(label, 10) : std::string(10, ' '), value["name"].get<std::string>(), "  ", value["dtype"].get<std::string>(), " ", shape_of(value), "\n"));
    is_first = false;
  }
}

void print_tables(Terminal& terminal, const Json& json) {
  size_t count = 0;
  for (const Json& node : json.value("nodes", Json::array())) {
    if (++count > kMostRows) break;
    std::string shapes;
    for (const Json& output : node["outputs"]) shapes += " " + shape_of(output);
    terminal.print(cat("  ", padded(node["name"].get<std::string>(), 34), " ", padded(node["op"].get<std::string>(), 18), shapes, "\n"));
  }
  for (const Json& row : json.value("constants", Json::array())) {
    if (++count > kMostRows) break;
    std::string text = cat("  ", padded(row["name"].get<std::string>(), 34), " ", padded(row["dtype"].get<std::string>(), 8), " ", padded(row["shape"].dump(), 20), " ", size_text(row["bytes"].get<double>()));
    if (row.contains("min") && row["min"].is_number() && row["max"].is_number()) text += cat("  ", plain(row["min"].get<double>()), " to ", plain(row["max"].get<double>()));
    terminal.print(text + "\n");
  }
  if (count > kMostRows) terminal.print("  more: --json lists all\n");
}

void print_facts(Terminal& terminal, const Json& json) {
  terminal.print(cat(padded("model", 10), json["file"].get<std::string>(), "  ", size_text(json["file_bytes"].get<double>()), " · opset ", json["opset"].get<int64_t>(), " · IR ", json["ir_version"].get<int64_t>(), "\n"));
  print_values(terminal, "inputs", json["inputs"]);
  print_values(terminal, "outputs", json["outputs"]);
  std::string ops;
  for (const auto& [name, count] : json["ops"].items()) ops += cat(ops.empty() ? "" : " · ", count.get<int64_t>(), " ", name);
  terminal.print(cat(padded("nodes", 10), json["num_nodes"].get<int64_t>(), ": ", ops, "\n"));
  terminal.print(cat(padded("MACs", 10), grouped(json["macs"].get<double>()), " at batch 1", json["nodes_without_macs"] > 0 ? cat(", without ", json["nodes_without_macs"].get<int64_t>(), " nodes of unknown shape") : "", "\n"));
  const Json& bytes = json["bytes"];
  std::string parts;
  for (const auto& [name, value] : bytes.items()) parts += cat(parts.empty() ? "" : " · ", name, " ", size_text(value.get<double>()));
  terminal.print(cat(padded("weights", 10), grouped(json["weights"].get<double>()), "\n", padded("bytes", 10), parts, "\n"));
  bool is_first = true;
  for (const Json& risk : json["risks"]) {
    terminal.print(cat(padded(is_first ? "risks" : "", 10), risk["code"].get<std::string>(), ": ", risk["message"].get<std::string>(), "\n"));
    is_first = false;
  }
  if (is_first) terminal.print(cat(padded("risks", 10), "none found\n"));
  if (json.contains("prunable")) print_prunable(json["prunable"], terminal);
  print_tables(terminal, json);
}

}  // namespace

int inspect_command(const CommandLine& line, Terminal& terminal) {
  Model model = read_model(line.arguments[0], read_options(line));
  infer_shapes(model.graph);
  const Json json = facts(model, line);
  if (!terminal.is_json()) print_facts(terminal, json);
  terminal.print_json(json);
  return 0;
}

}  // namespace niwaki
