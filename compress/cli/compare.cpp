#include "compress/cli/command.h"
#include "compress/cli/graph_facts.h"
#include "compress/cli/terminal.h"
#include "compress/executor.h"
#include "compress/footprint.h"
#include "compress/report/numbers.h"

#include <numeric>

namespace niwaki {
namespace {

constexpr int64_t kSamples = 64;             // of data, unless told
constexpr double kBadDecibels = 20;          // a value below this is called bad

/// Error of one value against the original's, summed over batches.
struct Difference {
  double signal = 0, noise = 0, largest = 0, scale = 0;
  int64_t count = 0;
  std::string problem;

  void add(const Tensor& before, const Tensor& after) {
    if (!before.defined() || !after.defined()) return;
    if (before.sizes() != after.sizes()) {
      problem = cat("shape ", shape_text(before.sizes()), " became ", shape_text(after.sizes()));
      return;
    }
    if (before.is_complex() || after.is_complex() || before.numel() == 0) return;
    const Tensor a = before.to(at::kDouble), error = after.to(at::kDouble) - a;
    signal += a.square().sum().item<double>();
    noise += error.square().sum().item<double>();
    const double worst = error.abs().max().item<double>();
    if (!std::isfinite(worst)) problem = "not finite";
    largest = std::max(largest, worst);
    scale = std::max(scale, a.abs().max().item<double>());
    count += before.numel();
  }
  /// nullopt: exactly equal.
  std::optional<double> sqnr_db() const {
    if (noise == 0 && problem.empty()) return std::nullopt;
    return signal > 0 && noise > 0 ? 10 * std::log10(signal / noise) : 0.0;
  }
  bool is_bad() const { return !problem.empty() || sqnr_db().value_or(1e9) < kBadDecibels; }
};

Json to_json(const Difference& one, const std::string& name) {
  Json json = {{"name", printable(name)}, {"max_abs", std::isfinite(one.largest) ? Json(one.largest) : Json(nullptr)}, {"equal", one.noise == 0 && one.problem.empty()}};
  json["sqnr_db"] = one.sqnr_db() && one.problem.empty() ? Json(*one.sqnr_db()) : Json(nullptr);
  if (!one.problem.empty()) json["problem"] = one.problem;
  return json;
}

using Feeds = std::map<std::string, Tensor>;

/// Batches of named inputs: of the data, or one of seeded numbers.
std::vector<Feeds> feeds_of(const CommandLine& line, const Graph& graph, bool& is_random) {
  is_random = !line.has("data");
  if (is_random) return {random_inputs(graph, std::min<int64_t>(line.integer("batch", 4), 32), static_cast<uint64_t>(line.integer("seed", 0)), pairs_of(line, "input"))};
  JobRequest request = job_request(line);
  request.evaluation.samples = line.integer("samples", kSamples);
  const Dataset data = load_dataset(graph, request.evaluation, request, false);
  std::vector<Feeds> feeds;
  for (int64_t i = 0; i < data.num_batches(); ++i) {
    const Dataset::Batch batch = data.batch(i);
    Feeds one;
    size_t next = 0;
    for (const ValueId id : graph.main().inputs) {
      if (!graph.constant(id)) one[graph.value(id).name] = batch.inputs[next++].tensor;
    }
    feeds.push_back(std::move(one));
  }
  return feeds;
}

/// Runs a graph; `inner`, where given, gets the values of the main body by name.
RunValues run_named(const Executor& executor, const Graph& graph, const Feeds& feeds, std::map<std::string, Tensor>* inner) {
  RunValues inputs;
  for (const ValueId id : executor.inputs()) {
    const auto found = feeds.find(graph.value(id).name);
    if (found == feeds.end()) throw ModelError("E1704", cat("the second model has an input '", printable(graph.value(id).name), "' that the first one lacks"), {.help = "compare models with equal inputs"});
    inputs.emplace_back(found->second, graph.value(id).dtype);
  }
  if (inner == nullptr) return executor.run(inputs);
  return executor.run(inputs, [&](ValueId id, const Tensor& tensor) {
    if (tensor.defined() && !graph.value(id).name.empty()) (*inner)[graph.value(id).name] = tensor;
  });
}

/// Values that both models compute, in the order of the second one's nodes.
Strings common_values(const Graph& before, const Graph& after) {
  Strings names;
  for (const NodeId id : after.main().nodes) {
    for (const ValueId output : after.node(id).outputs) {
      if (output == ValueId::absent) continue;
      const std::string& name = after.value(output).name;
      const auto twin = before.find_value(name);
      if (!name.empty() && twin && before.producer(*twin)) names.push_back(name);
    }
  }
  return names;
}

struct Differences {
  std::map<std::string, Difference> outputs, layers;
};

Differences run_both(const Graph& before, const Graph& after, const std::vector<Feeds>& batches, bool per_layer, Progress& progress) {
  const Executor first(before), second(after);
  const Strings names = per_layer ? common_values(before, after) : Strings();
  Differences outcome;
  progress.start("compare", static_cast<int64_t>(batches.size()));
  for (const Feeds& feeds : batches) {
    std::map<std::string, Tensor> a, b;
    const RunValues want = run_named(first, before, feeds, per_layer ? &a : nullptr), got = run_named(second, after, feeds, per_layer ? &b : nullptr);
    for (size_t i = 0; i < std::min(want.size(), got.size()); ++i) outcome.outputs[before.value(before.main().outputs[i]).name].add(want[i].tensor, got[i].tensor);
    for (const std::string& name : names) outcome.layers[name].add(a[name], b[name]);
    progress.advance();
  }
  return outcome;
}

Json op_differences(const Graph& before, const Graph& after) {
  const auto a = op_counts(before), b = op_counts(after);
  Json rows = Json::object();
  for (const auto& [op, count] : a) {
    const auto found = b.find(op);
    const int64_t other = found == b.end() ? 0 : found->second;
    if (other != count) rows[op] = {count, other};
  }
  for (const auto& [op, count] : b) {
    if (!a.contains(op)) rows[op] = {0, count};
  }
  return rows;
}

Json layer_rows(const Graph& after, const Differences& outcome, const Strings& names, Json& first_bad) {
  Json rows = Json::array();
  for (const std::string& name : names) {
    const Difference& one = outcome.layers.at(name);
    if (one.count == 0 && one.problem.empty()) continue;
    Json row = to_json(one, name);
    const NodeId node = *after.producer(*after.find_value(name));
    row["node"] = printable(after.label(node));
    row["op"] = op_name(after.node(node));
    if (first_bad.is_null() && one.is_bad()) first_bad = row;
    rows.push_back(std::move(row));
  }
  return rows;
}

std::string error_words(const Json& row) {
  if (row.contains("problem")) return row["problem"].get<std::string>();
  if (row["equal"].get<bool>()) return "equal";
  return cat(row["sqnr_db"].is_number() ? fixed(row["sqnr_db"].get<double>(), 1) + " dB" : "?", " · largest difference ", row["max_abs"].is_number() ? plain(row["max_abs"].get<double>()) : "?");
}

void print_comparison(Terminal& terminal, const Json& json) {
  const auto bytes = [&](const char* side) { return size_text(json[side]["file_bytes"].get<double>()); };
  terminal.print(cat("file      ", bytes("before"), " -> ", bytes("after"), "\nweights   ", grouped(json["before"]["weights"].get<double>()), " -> ", grouped(json["after"]["weights"].get<double>()), "\nopset     ", json["before"]["opset"].get<int64_t>(), " -> ", json["after"]["opset"].get<int64_t>(), "\n"));
  for (const auto& [op, counts] : json["ops"].items()) terminal.print(cat("op        ", op, " ", counts[0].get<int64_t>(), " -> ", counts[1].get<int64_t>(), "\n"));
  if (json["ops"].empty()) terminal.print("op        the same operators\n");
  for (const Json& row : json["outputs"]) terminal.print(cat("output    ", row["name"].get<std::string>(), ": ", error_words(row), "\n"));
  terminal.print(cat("          on ", json["inputs"].get<std::string>(), "\n"));
  for (const Json& row : json.value("layers", Json::array())) terminal.print(cat("  ", row["node"].get<std::string>(), " (", row["op"].get<std::string>(), ") ", row["name"].get<std::string>(), ": ", error_words(row), "\n"));
  if (!json.contains("layers")) return;
  terminal.print(json["first_bad"].is_null() ? cat("first bad no value below ", kBadDecibels, " dB\n") : cat("first bad ", json["first_bad"]["node"].get<std::string>(), ": ", error_words(json["first_bad"]), "\n"));
}

Json side(const Model& model) {
  const Footprint footprint = measure_footprint(model.graph);
  return {{"file", printable(model.path, 4096)}, {"file_bytes", model.file_bytes}, {"sha256", model.sha256}, {"bytes", niwaki::to_json(footprint)}, {"weights", footprint.num_weights}, {"opset", model.graph.opset()}, {"num_nodes", model.graph.all_nodes().size()}};
}

}  // namespace

int compare_command(const CommandLine& line, Terminal& terminal) {
  const Model before = read_model(line.arguments[0], read_options(line)), after = read_model(line.arguments[1], read_options(line));
  bool is_random = false;
  const std::vector<Feeds> batches = feeds_of(line, before.graph, is_random);
  Progress progress(terminal.show());
  const Differences outcome = run_both(before.graph, after.graph, batches, line.has("per-layer"), progress);
  terminal.end_progress();
  Json json = {{"before", side(before)}, {"after", side(after)}, {"ops", op_differences(before.graph, after.graph)}, {"outputs", Json::array()},
               {"inputs", is_random ? "seeded random numbers" : printable(line.text("data"), 4096)}};
  for (const auto& [name, one] : outcome.outputs) json["outputs"].push_back(to_json(one, name));
  if (line.has("per-layer")) {
    Json first_bad = nullptr;
    json["layers"] = layer_rows(after.graph, outcome, common_values(before.graph, after.graph), first_bad);
    json["first_bad"] = first_bad;
  }
  if (!terminal.is_json()) print_comparison(terminal, json);
  terminal.print_json(json);
  return 0;
}

}  // namespace niwaki
