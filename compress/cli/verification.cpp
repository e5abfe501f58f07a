#include "compress/cli/verification.h"

#include "compress/error.h"
#include "compress/evaluate.h"
#include "compress/executor.h"
#include "compress/onnx/check_structure.h"
#include "compress/random.h"
#include "formats/format.h"

namespace niwaki {
namespace {

constexpr int64_t kSamples = 16, kNumbers = 1 << 20;   // fewer samples where they are large, at least two
constexpr double kFloatTolerance = 1e-3;     // of the largest output: sums in another order, 512 terms deep
constexpr double kIntegerTolerance = 0.5;    // of the largest output: codes that differ by one add up over the layers
constexpr double kLeastSqnrDb = 14;          // of the runtime against the executor, over all outputs with integer kernels

bool has_integer_kernels(const Graph& graph) {
  for (const NodeId id : graph.main().nodes) {
    const std::string& op = graph.node(id).op;
    // a product of a DequantizeLinear becomes a MatMulNBits, which rounds activations to 8 bits unless it is told not to
    if (op == "QuantizeLinear" || op == "DynamicQuantizeLinear" || op == "MatMulNBits" || op == "DequantizeLinear") return true;
  }
  return false;
}

/// Inputs of 1 for integers, seeded noise for floats, where a model has no data to be tried on.
std::optional<Dataset::Batch> invented_batch(const Graph& graph) {
  Dataset::Batch batch{.first = 0, .count = 1};
  for (const ValueId id : graph.main().inputs) {
    if (graph.constant(id)) continue;
    const Value& value = graph.value(id);
    if (!value.shape || value.dtype == DType::string || value.dtype == DType::undefined || is_packed(value.dtype)) return std::nullopt;
    std::vector<int64_t> sizes;
    int64_t count = 1;
    for (const Dim& dim : *value.shape) {
      const auto* size = std::get_if<int64_t>(&dim);
      sizes.push_back(size && *size > 0 ? *size : 1);
      count *= sizes.back();
    }
    if (count > 1 << 26) return std::nullopt;
    Tensor numbers = at::ones(sizes, at::kFloat);
    if (is_float(value.dtype)) {
      Generator generator(0, value.name);
      for (int64_t i = 0; i < count; ++i) numbers.mutable_data_ptr<float>()[i] = static_cast<float>(generator.normal());
    }
    batch.inputs.emplace_back(numbers.to(scalar_type(value.dtype)), value.dtype);
  }
  return batch;
}

struct Difference {
  double absolute = 0, largest = 0, signal = 0, noise = 0;
  std::string problem;
};

void compare(const Tensor& got, const Tensor& want, const std::string& name, Difference& difference) {
  if (!got.defined() || !want.defined()) return;
  if (got.sizes() != want.sizes()) {
    difference.problem = cat("output '", printable(name), "' has shape ", shape_text(got.sizes()), " on ONNX Runtime, ", shape_text(want.sizes()), " in the executor");
    return;
  }
  if (!at::isFloatingType(want.scalar_type()) || want.numel() == 0) return;
  const Tensor a = got.to(at::kDouble), b = want.to(at::kDouble);
  if (!at::equal(at::isfinite(a), at::isfinite(b))) {
    difference.problem = cat("output '", printable(name), "' has NaN or infinity on one side only");
    return;
  }
  const Tensor both = at::isfinite(b);
  const Tensor gap = at::where(both, (a - b).abs(), at::zeros_like(a));
  difference.absolute = std::max(difference.absolute, gap.max().item<double>());
  difference.signal += at::where(both, b * b, at::zeros_like(b)).sum().item<double>();
  difference.noise += (gap * gap).sum().item<double>();
  difference.largest = std::max(difference.largest, at::where(both, b.abs(), at::zeros_like(b)).max().item<double>());
}

std::vector<Dataset::Batch> trial_batches(const Graph& graph, const Dataset* samples) {
  std::vector<Dataset::Batch> batches;
  if (samples) {
    const Dataset::Batch first = samples->head(1).batch(0);
    int64_t numbers = 1;
    for (const RunValue& input : first.inputs) numbers += input.tensor.defined() ? input.tensor.numel() : 0;
    const Dataset few = samples->head(std::clamp<int64_t>(kNumbers / numbers, 2, kSamples));
    for (int64_t i = 0; i < few.num_batches(); ++i) batches.push_back(few.batch(i));
  } else if (auto batch = invented_batch(graph)) {
    batches.push_back(std::move(*batch));
  }
  return batches;
}

/// Whether ONNX Runtime runs the original on these inputs: noise is no valid input of every model.
bool original_runs(RuntimeWorker& worker, const std::string& path, const Graph& graph, const Dataset::Batch& batch, int threads) {
  try {
    const SessionId session = worker.load(path, {.threads = threads});
    runtime_runner(worker, session, graph)(batch);
    worker.unload(session);
    return true;
  } catch (const Error& error) {
    if (error.code() == "E3310") throw;
    return false;
  }
}

}  // namespace

Json verify_written(const std::string& path, const std::string& original_path, const Graph& graph, const Dataset* samples, RuntimeWorker* worker, int threads) {
  Json verdict = {{"reload", true}, {"runtime", {{"name", "onnxruntime"}, {"version", nullptr}, {"ran", false}}}};
  const Model again = read_model(path);
  const std::string refusal = checker_verdict(again.graph);
  verdict["checker"] = refusal.empty() ? Json(true) : Json(printable(refusal, 400));
  if (!worker) return verdict;
  verdict["runtime"]["version"] = worker->version().runtime;
  const std::vector<Dataset::Batch> batches = trial_batches(graph, samples);
  SessionId session{};
  try {
    session = worker->load(path, {.threads = threads});
  } catch (const Error& error) {
    // what ONNX Runtime refuses in the original it may refuse in the copy
    const bool is_ours = batches.empty() ? false : original_runs(*worker, original_path, graph, batches[0], threads);
    if (error.code() == "E3310" || is_ours) throw;
    verdict["runtime"]["refused"] = printable(error.message(), 400);
    return verdict;
  }
  verdict["runtime"]["ran"] = "loaded";
  if (batches.empty()) return verdict;
  const Runner on_runtime = runtime_runner(*worker, session, graph);
  Difference difference;
  const bool can_execute = unsupported_nodes(graph).empty();
  const std::unique_ptr<Executor> executor = can_execute ? std::make_unique<Executor>(graph) : nullptr;
  int64_t seen = 0;
  for (const Dataset::Batch& batch : batches) {
    std::vector<Tensor> got;
    try {
      got = on_runtime(batch);
    } catch (const Error& error) {
      if (error.code() == "E3310" || samples || original_runs(*worker, original_path, graph, batch, threads)) throw;
      return verdict;                        // invented inputs that the original does not take either
    }
    seen += batch.count;
    if (!executor) continue;
    const RunValues want = executor->run(batch.inputs);
    for (size_t i = 0; i < want.size(); ++i) compare(got[i], want[i].tensor, graph.value(graph.main().outputs[i]).name, difference);
  }
  worker->unload(session);
  verdict["runtime"]["ran"] = true;
  verdict["samples"] = seen;
  if (!executor) return verdict;
  const double tolerance = (has_integer_kernels(graph) ? kIntegerTolerance : kFloatTolerance) * std::max(difference.largest, 1e-6);
  verdict["max_abs_diff"] = difference.absolute;
  verdict["tolerance"] = tolerance;
  if (difference.problem.empty() && difference.absolute > tolerance) {
    difference.problem = cat("outputs differ by ", difference.absolute, ", allowed ", tolerance);
  }
  const double sqnr_db = 10 * std::log10(std::max(difference.signal, 1e-30) / std::max(difference.noise, 1e-30));
  if (difference.problem.empty() && difference.noise > 0 && has_integer_kernels(graph) && sqnr_db < kLeastSqnrDb) {
    difference.problem = cat("outputs agree to ", std::round(10 * sqnr_db) / 10, " dB, needed ", kLeastSqnrDb);
  }
  if (!difference.problem.empty()) {
    throw ModelError("E3312", cat("ONNX Runtime computes the written model differently: ", difference.problem),
                     {.help = "this is a fault of Niwaki or of the runtime: keep the nodes in question in float with --keep, and report it"});
  }
  return verdict;
}

}  // namespace niwaki
