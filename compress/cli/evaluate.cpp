#include "compress/evaluate.h"

#include "compress/atomic_file.h"
#include "compress/cli/command.h"
#include "compress/cli/terminal.h"
#include "compress/report/numbers.h"
#include "formats/npy_writer.h"
#include "formats/archive/read_archive.h"

namespace niwaki {
namespace {

/// Outputs of all samples, behind each other.
class OutputCollector {
 public:
  void add(const std::vector<Tensor>& outputs, int64_t count) {
    parts_.resize(outputs.size());
    for (size_t i = 0; i < outputs.size(); ++i) {
      const Tensor& output = outputs[i];
      if (!output.defined()) continue;
      const bool has_rows = output.dim() > 0 && output.size(0) > count;
      parts_[i].push_back(has_rows ? output.narrow(0, 0, count).clone() : output);
    }
  }

  void write(const std::string& path, const Graph& graph) const {
    NpzWriter writer(path);
    for (size_t i = 0; i < parts_.size(); ++i) {
      if (parts_[i].empty()) continue;
      const bool is_scalar = parts_[i][0].dim() == 0;
      writer.add(graph.value(graph.main().outputs[i]).name, is_scalar ? at::stack(parts_[i]) : at::cat(parts_[i]));
    }
    writer.commit();
  }

 private:
  std::vector<std::vector<Tensor>> parts_;
};

size_t output_index(const Graph& graph, const std::string& name) {
  if (name.empty()) return 0;
  Strings known;
  for (size_t i = 0; i < graph.main().outputs.size(); ++i) {
    known.push_back(graph.value(graph.main().outputs[i]).name);
    if (known.back() == name) return i;
  }
  const std::string near = nearest(name, known);
  throw UsageError("E2011", cat("the model has no output '", printable(name), "'"), {.help = near.empty() ? "`niwaki inspect MODEL` lists the outputs" : cat("did you mean '", near, "'?")});
}

/// What runs the model, and what must live as long.
struct Runtime {
  std::unique_ptr<Executor> executor;
  std::unique_ptr<archive::RunnableModel> model;
  std::unique_ptr<RuntimeWorker> worker;
  Runner run;
  std::string name;
};

Runtime make_runtime(const CommandLine& line, const Model& model) {
  Runtime runtime;
  if (line.text("runtime") == "builtin") {
    runtime.executor = std::make_unique<Executor>(model.graph);
    runtime.run = builtin_runner(*runtime.executor);
    runtime.name = "builtin";
    return runtime;
  }
  WorkerOptions options;
  options.program = line.program;
  options.stopped = [] { return Progress::stop_requested().load(); };
  runtime.worker = std::make_unique<RuntimeWorker>(options);
  runtime.name = cat("onnxruntime ", runtime.worker->version().runtime);
  runtime.model = std::make_unique<archive::RunnableModel>(model.path, read_options(line));
  const SessionId session = runtime.worker->load(runtime.model->path(), {.threads = static_cast<int>(line.integer("threads", 0))});
  runtime.run = runtime_runner(*runtime.worker, session, model.graph);
  return runtime;
}

std::vector<std::unique_ptr<Metric>> make_metrics(const CommandLine& line, const Graph& graph, const Dataset& data) {
  Strings names = line.list("metric");
  if (names.empty()) names = {default_metric(graph, data)};
  std::vector<std::unique_ptr<Metric>> metrics;
  for (const std::string& name : names) {
    metrics.push_back(make_metric(name));
    if (!metrics.back()->traits().needs_labels || data.has_labels()) continue;
    throw UsageError("E1706", cat("metric '", name, "' needs labels, which the data lacks"), {.help = "add an array named labels, or choose --metric agreement or sqnr_db"});
  }
  return metrics;
}

Json finite(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json quality_entry(const Metric& metric, const std::string& output, int64_t samples) {
  const Comparison own = metric.traits().needs_labels ? compare_quality(metric, metric) : compare_quality(metric);
  Json entry = {{"metric", metric.traits().name}, {"output", printable(output)}, {"samples", samples}, {"value", finite(metric.value())},
                {"unit", metric.traits().unit}, {"is_share", metric.traits().is_share}};
  entry["ci95"] = own.after_ci95 ? Json::array({finite(own.after_ci95->lo), finite(own.after_ci95->hi)}) : Json(nullptr);
  return entry;
}

std::string value_text(const Json& value, bool is_share) {
  if (!value.is_number()) return "not finite";
  return is_share ? fixed(value.get<double>() * 100, 2) + " %" : plain(value.get<double>());
}

std::string quality_line(const Json& entry) {
  const bool is_share = entry["is_share"];
  std::string text = cat("  ", entry["metric"].get<std::string>(), " (", grouped(entry["samples"].get<double>()), " samples)   ", value_text(entry["value"], is_share));
  if (entry["ci95"].is_array()) text += cat(" [", value_text(entry["ci95"][0], is_share), ", ", value_text(entry["ci95"][1], is_share), "]");
  return text + "\n";
}

/// Runs all samples once; every metric and the outputs come from the same run.
void score(const Runtime& runtime, const Dataset& data, size_t index, std::span<const std::unique_ptr<Metric>> metrics, OutputCollector* collector, Progress& progress) {
  progress.start("evaluate", data.num_samples());
  for (int64_t i = 0; i < data.num_batches(); ++i) {
    const Dataset::Batch batch = data.batch(i);
    const std::vector<Tensor> outputs = runtime.run(batch);
    const Tensor& output = outputs.at(index);
    for (const auto& metric : metrics) {
      const bool has_rows = output.dim() > 0 && output.size(0) > batch.count;
      metric->add(output, metric->traits().needs_labels ? batch.labels : has_rows ? output.narrow(0, 0, batch.count) : output, batch.count);
    }
    if (collector != nullptr) collector->add(outputs, batch.count);
    progress.advance(batch.count);
  }
}

}  // namespace

int evaluate_command(const CommandLine& line, Terminal& terminal) {
  const std::string saved = line.text("save-outputs");
  if (!saved.empty()) require_writable_output(saved, {line.arguments[0], line.text("data")}, line.has("force"), false);
  for (const std::string& metric : line.list("metric")) metric_traits(metric);
  const Model model = read_model(line.arguments[0], read_options(line));
  JobRequest request = job_request(line);
  request.evaluation.samples = line.integer("samples", 0);
  bool wants_labels = line.list("metric").empty();
  for (const std::string& metric : line.list("metric")) wants_labels |= metric_traits(metric).needs_labels;
  Strings notes;
  const Dataset data = load_dataset(model.graph, request.evaluation, request, wants_labels, &notes);
  for (const std::string& note : notes) terminal.tell(note + "\n");
  const auto metrics = make_metrics(line, model.graph, data);
  const size_t index = output_index(model.graph, line.text("output-name"));
  const Runtime runtime = make_runtime(line, model);
  Progress progress(terminal.show());
  OutputCollector collector;
  score(runtime, data, index, metrics, saved.empty() ? nullptr : &collector, progress);
  terminal.end_progress();
  if (!saved.empty()) collector.write(saved, model.graph);
  Json document = {{"quality", Json::array()}, {"runtime", runtime.name}, {"outputs", saved.empty() ? Json(nullptr) : Json(printable(saved, 4096))}};
  for (const auto& metric : metrics) {
    document["quality"].push_back(quality_entry(*metric, model.graph.value(model.graph.main().outputs[index]).name, data.num_samples()));
    terminal.print(quality_line(document["quality"].back()));
  }
  if (!saved.empty()) terminal.print(cat("  wrote  ", printable(saved), "\n"));
  terminal.print_json(document);
  return 0;
}

}  // namespace niwaki
