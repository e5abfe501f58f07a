#pragma once

#include "compress/dataset.h"
#include "compress/executor.h"
#include "compress/metrics.h"
#include "compress/progress.h"
#include "compress/quality.h"
#include "compress/runtime_worker.h"

namespace niwaki {

/// Something that computes a model's outputs for a batch, in graph output order.
using Runner = std::function<std::vector<Tensor>(const Dataset::Batch&)>;

/// The built-in executor; batches run on several threads. `graph` and `executor` must outlive it.
Runner builtin_runner(const Executor& executor);
/// ONNX Runtime in its worker process.
Runner runtime_runner(RuntimeWorker& worker, SessionId session, const Graph& graph);

struct EvaluateOptions {
  std::string metric;                        // "": top1 with labels, else agreement or sqnr_db
  std::string output;                        // name; "": the first output
};

/// The metric that fits a model and its data, where none was asked for.
std::string default_metric(const Graph& graph, const Dataset& data);

/// Scores a model on labelled data (for metrics that need labels).
std::unique_ptr<Metric> evaluate(const Runner& runner, const Graph& graph, const Dataset& data, const EvaluateOptions& options, Progress& progress);
/// Two models on the same samples; metrics without labels hold the second one against the first.
Comparison evaluate_pair(const Runner& before, const Runner& after, const Graph& graph, const Dataset& data, const EvaluateOptions& options,
                         Progress& progress, uint64_t seed = 0);

}  // namespace niwaki
