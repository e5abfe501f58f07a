#include "compress/cli/command.h"
#include "compress/cli/graph_facts.h"
#include "compress/cli/terminal.h"
#include "compress/executor.h"
#include "compress/measure.h"
#include "compress/report/numbers.h"
#include "formats/archive/read_archive.h"

#include <chrono>

namespace niwaki {
namespace {

using Clock = std::chrono::steady_clock;

Json times_json(const LatencySummary& one) { return {{"min", one.min}, {"p50", one.p50}, {"p95", one.p95}, {"mean", one.mean}, {"sd", one.sd}}; }

WorkerOptions worker_options(const CommandLine& line) {
  return {.program = line.program, .stopped = [] { return Progress::stop_requested().load(); }};
}

/// One model alone: fresh process, warm-up, runs.
Json time_alone(const CommandLine& line, const std::string& model, const NamedTensors& inputs) {
  RuntimeWorker worker(worker_options(line));
  const int threads = static_cast<int>(line.integer("threads", 0));
  const SessionId session = worker.load(model, {.threads = threads});
  worker.bind(session, inputs);
  const double each = worker.warm_up(session, 1);
  const int64_t runs = std::max<int64_t>(line.integer("runs", 30), std::min<int64_t>(100'000, static_cast<int64_t>(1000 / std::max(each, 1e-3))));
  return {{"runtime", "onnxruntime"}, {"version", worker.version().runtime}, {"runs", runs}, {"ms", times_json(summarize_times(worker.measure(session, runs)))}};
}

Json time_pair(const CommandLine& line, const std::string& before, const std::string& after, const NamedTensors& inputs) {
  LatencyOptions options;
  options.rounds = static_cast<int>(std::max<int64_t>(1, line.integer("rounds", 3)));
  options.runs = static_cast<int>(std::max<int64_t>(1, line.integer("runs", 30)));
  options.max_seconds = line.seconds("max-time", 60);
  options.threads = static_cast<int>(line.integer("threads", 0));
  options.seed = static_cast<uint64_t>(line.integer("seed", 0));
  options.worker = worker_options(line);
  const Latency latency = measure_latency(before, after, inputs, options);
  return {{"runtime", latency.runtime}, {"version", latency.version}, {"rounds", latency.rounds}, {"pairs", latency.pairs},
          {"before_ms", times_json(latency.before)}, {"after_ms", times_json(latency.after)}, {"ratio", latency.ratio}, {"ci95", latency.ci95}, {"unsteady", latency.is_unsteady()}};
}

RunValues in_order(const Executor& executor, const Graph& graph, const NamedTensors& inputs) {
  RunValues values;
  for (const ValueId id : executor.inputs()) values.emplace_back(inputs.at(graph.value(id).name), graph.value(id).dtype);
  return values;
}

/// Niwaki's own executor, in this process: a reference, not what users run.
Json time_builtin(const CommandLine& line, const Graph& graph, const NamedTensors& inputs) {
  const Executor executor(graph);
  const RunValues values = in_order(executor, graph, inputs);
  const auto begin = Clock::now();
  const double seconds = std::min(line.seconds("max-time", 60), 10.0);
  const int64_t least = line.integer("runs", 30);
  std::vector<double> times;
  const auto spent = [&] { return std::chrono::duration<double>(Clock::now() - begin).count(); };
  for (int64_t i = -2; spent() < seconds && (i < least || spent() < 1); ++i) {
    if (Progress::stop_requested()) throw Interrupted();
    const auto start = Clock::now();
    executor.run(values);
    if (i >= 0 || times.empty()) times.push_back(std::chrono::duration<double, std::milli>(Clock::now() - start).count());
  }
  return {{"runtime", "builtin"}, {"runs", times.size()}, {"ms", times_json(summarize_times(times))}};
}

std::string time_text(const Json& times) { return cat(fixed(times["p50"].get<double>(), 3), " ms (p95 ", fixed(times["p95"].get<double>(), 3), ")"); }

std::string ratio_text(const Json& pair) {
  const double ratio = pair["ratio"], low = pair["ci95"][0], high = pair["ci95"][1];
  if (low <= 1 && high >= 1) return cat("same time: ", fixed(ratio, 2), "x [", fixed(low, 2), ", ", fixed(high, 2), "] of the first");
  const bool is_faster = ratio < 1;
  const double a = is_faster ? 1 / high : low, b = is_faster ? 1 / low : high;
  return cat(fixed(is_faster ? 1 / ratio : ratio, 2), is_faster ? "x faster [" : "x SLOWER [", fixed(a, 2), ", ", fixed(b, 2), "]");
}

std::vector<Graph> read_graphs(const CommandLine& line) {
  std::vector<Graph> graphs;
  for (const std::string& path : line.arguments) graphs.push_back(read_model(path, read_options(line)).graph);
  return graphs;
}

/// The first model against each of the others, or alone.
void measure(const CommandLine& line, Terminal& terminal, const NamedTensors& inputs, Json& document) {
  const int threads = static_cast<int>(line.integer("threads", 0));
  std::vector<std::unique_ptr<archive::RunnableModel>> models;
  for (const std::string& path : line.arguments) models.push_back(std::make_unique<archive::RunnableModel>(path, read_options(line)));
  const auto peak = [&](size_t i) { return measure_peak_memory(models[i]->path(), inputs, threads, worker_options(line)).peak_bytes; };
  if (models.size() == 1) {
    document["models"] = Json::array({time_alone(line, models[0]->path(), inputs)});
    document["models"][0]["file"] = printable(line.arguments[0], 4096);
    document["models"][0]["peak_bytes"] = peak(0);
    return;
  }
  document["pairs"] = Json::array();
  for (size_t i = 1; i < models.size(); ++i) {
    terminal.show()({cat("bench ", i, " of ", models.size() - 1), 0, 0});
    Json pair = time_pair(line, models[0]->path(), models[i]->path(), inputs);
    pair["before"] = printable(line.arguments[0], 4096);
    pair["after"] = printable(line.arguments[i], 4096);
    pair["peak_before"] = peak(0);
    pair["peak_after"] = peak(i);
    document["pairs"].push_back(pair);
  }
}

void print_results(Terminal& terminal, const Json& document) {
  for (const Json& model : document.value("models", Json::array())) {
    terminal.print(cat("  ", model["file"].get<std::string>(), "  ", time_text(model["ms"]), "  on ", model["runtime"].get<std::string>(), model.contains("peak_bytes") ? cat(" · peak memory ", size_text(model["peak_bytes"].get<double>())) : "", "\n"));
  }
  for (const Json& pair : document.value("pairs", Json::array())) {
    terminal.print(cat("  ", pair["before"].get<std::string>(), "  ", time_text(pair["before_ms"]), " · peak memory ", size_text(pair["peak_before"].get<double>()), "\n"));
    terminal.print(cat("  ", pair["after"].get<std::string>(), "  ", time_text(pair["after_ms"]), " · peak memory ", size_text(pair["peak_after"].get<double>()), "\n  ", ratio_text(pair), " · onnxruntime ", pair["version"].get<std::string>(), " · ", pair["pairs"].get<int>(), " pairs in ", pair["rounds"].get<int>(), " rounds\n"));
    if (pair["unsteady"].get<bool>()) terminal.tell_message({{"code", "W3403"}, {"message", "the machine was busy while latency was measured; the interval is wide"}});
  }
}

}  // namespace

int bench_command(const CommandLine& line, Terminal& terminal) {
  const std::vector<Graph> graphs = read_graphs(line);
  const NamedTensors inputs = random_inputs(graphs[0], std::max<int64_t>(1, line.integer("batch", 1)), static_cast<uint64_t>(line.integer("seed", 0)), pairs_of(line, "input"));
  Json document = {{"batch", line.integer("batch", 1)}, {"inputs", "seeded random numbers"}};
  terminal.show()({"bench", 0, 0});
  if (line.text("runtime") == "builtin") {
    document["models"] = Json::array();
    for (size_t i = 0; i < graphs.size(); ++i) {
      document["models"].push_back(time_builtin(line, graphs[i], inputs));
      document["models"].back()["file"] = printable(line.arguments[i], 4096);
    }
  } else {
    measure(line, terminal, inputs, document);
  }
  terminal.end_progress();
  print_results(terminal, document);
  terminal.print_json(document);
  return 0;
}

}  // namespace niwaki
