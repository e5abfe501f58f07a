#include "compress/evaluate.h"

#include "compress/error.h"

namespace niwaki {
namespace {

size_t output_index(const Graph& graph, const std::string& name) {
  if (name.empty()) return 0;
  std::vector<std::string> known;
  for (size_t i = 0; i < graph.main().outputs.size(); ++i) {
    known.push_back(graph.value(graph.main().outputs[i]).name);
    if (known.back() == name) return i;
  }
  throw UsageError("E2011", cat("the model has no output '", printable(name), "'"), {.found = cat("outputs: ", shape_text(known))});
}

Tensor rows_of(const Tensor& output, int64_t count) {
  return output.dim() > 0 && output.size(0) > count ? output.narrow(0, 0, count) : output;
}

/// The rows of a filled-up batch that repeat its last sample are scored nowhere.
void score(Metric& metric, const Tensor& output, const Tensor& reference, int64_t count) { metric.add(rows_of(output, count), reference, count); }

}  // namespace

Runner builtin_runner(const Executor& executor) {
  return [&executor](const Dataset::Batch& batch) {
    std::vector<Tensor> outputs;
    for (const RunValue& value : executor.run(batch.inputs)) outputs.push_back(value.tensor);
    return outputs;
  };
}

Runner runtime_runner(RuntimeWorker& worker, SessionId session, const Graph& graph) {
  std::vector<std::string> inputs, outputs;
  for (const ValueId id : graph.main().inputs) {
    if (!graph.constant(id)) inputs.push_back(graph.value(id).name);
  }
  for (const ValueId id : graph.main().outputs) outputs.push_back(graph.value(id).name);
  return [&worker, session, inputs, outputs](const Dataset::Batch& batch) {
    NamedTensors feeds;
    for (size_t i = 0; i < inputs.size(); ++i) feeds[inputs[i]] = batch.inputs[i].tensor;
    const NamedTensors found = worker.run(session, feeds);
    std::vector<Tensor> ordered;
    for (const std::string& name : outputs) {
      const auto one = found.find(name);
      ordered.push_back(one == found.end() ? Tensor() : one->second);
    }
    return ordered;
  };
}

std::string default_metric(const Graph& graph, const Dataset& data) {
  if (data.has_labels()) return "top1";
  const Value& output = graph.value(graph.main().outputs.at(0));
  const bool is_classes = output.shape && output.shape->size() == 2 && is_float(output.dtype);
  return is_classes ? "agreement" : "sqnr_db";
}

std::unique_ptr<Metric> evaluate(const Runner& runner, const Graph& graph, const Dataset& data, const EvaluateOptions& options, Progress& progress) {
  auto metric = make_metric(options.metric.empty() ? default_metric(graph, data) : options.metric);
  const size_t index = output_index(graph, options.output);
  if (metric->traits().needs_labels && !data.has_labels()) {
    throw UsageError("E1706", cat("metric '", metric->traits().name, "' needs labels, which the data lacks"));
  }
  progress.start("evaluate", data.num_samples());
  for (int64_t i = 0; i < data.num_batches(); ++i) {
    const Dataset::Batch batch = data.batch(i);
    const Tensor output = runner(batch).at(index);
    score(*metric, output, metric->traits().needs_labels ? batch.labels : output, batch.count);
    progress.advance(batch.count);
  }
  return metric;
}

Comparison evaluate_pair(const Runner& before, const Runner& after, const Graph& graph, const Dataset& data, const EvaluateOptions& options,
                         Progress& progress, uint64_t seed) {
  const std::string name = options.metric.empty() ? default_metric(graph, data) : options.metric;
  auto first = make_metric(name), second = make_metric(name);
  const bool needs_labels = first->traits().needs_labels;
  if (needs_labels && !data.has_labels()) throw UsageError("E1706", cat("metric '", name, "' needs labels, which the data lacks"));
  const size_t index = output_index(graph, options.output);
  progress.start("evaluate", data.num_samples());
  for (int64_t i = 0; i < data.num_batches(); ++i) {
    const Dataset::Batch batch = data.batch(i);
    const Tensor original = before(batch).at(index), changed = after(batch).at(index);
    if (needs_labels) {
      score(*first, original, batch.labels, batch.count);
      score(*second, changed, batch.labels, batch.count);
    } else {
      score(*second, changed, rows_of(original, batch.count), batch.count);
    }
    progress.advance(batch.count);
  }
  return needs_labels ? compare_quality(*first, *second, seed) : compare_quality(*second, seed);
}

}  // namespace niwaki
