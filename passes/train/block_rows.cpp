#include "passes/train/block_rows.h"

#include "compress/executor.h"
#include "compress/kept_array.h"
#include "compress/parallel.h"
#include "compress/progress.h"

#include <numeric>

namespace niwaki {
namespace {

constexpr int64_t kChunk = 16;               // rows

Graph with_sizes(Graph graph, ValueId input, const Dim& batch, const Rows& rows) {
  if (input == ValueId::absent) return graph;
  const Tensor& all = rows.at(graph.value(input).name);
  Shape shape(all.sizes().begin(), all.sizes().end());
  shape[0] = batch;
  graph.set_type(input, dtype_of(all.scalar_type()), std::move(shape));
  return graph;
}

Dataset dataset_of(const Graph& graph, const Rows& rows) {
  SampleArrays arrays;
  for (const ValueId id : graph.main().inputs) {
    const std::string& name = graph.value(id).name;
    if (const auto found = rows.find(name); found != rows.end()) arrays[name] = std::make_shared<KeptArray>(found->second, dtype_of(found->second.scalar_type()));
  }
  return {graph, std::move(arrays), {}, "activations"};
}

/// Puts parts of `count` rows one behind the other into one tensor.
void put(Tensor& all, const Tensor& part, int64_t first, int64_t count, int64_t samples) {
  if (!all.defined()) {
    std::vector<int64_t> sizes = part.sizes().vec();
    sizes[0] = samples;
    all = at::empty(sizes, part.options());
  }
  all.narrow(0, first, count).copy_(part.narrow(0, 0, count));
}

/// Sum of what becomes of a few rows at a time.
double sum_of_chunks(const Tensor& rows, const std::function<Tensor(const Tensor& part, int64_t first)>& change) {
  std::vector<double> sums(static_cast<size_t>((rows.size(0) + kChunk - 1) / kChunk));
  parallel_for(static_cast<int64_t>(sums.size()), [&](int64_t i) {
    const int64_t first = i * kChunk;
    const Tensor part = rows.narrow(0, first, std::min(kChunk, rows.size(0) - first));
    sums[static_cast<size_t>(i)] = change(part, first).sum(at::kDouble).item<double>();
  });
  return std::accumulate(sums.begin(), sums.end(), 0.0);
}

}  // namespace

RunnableBlock::RunnableBlock(Graph part, ValueId input, const Dim& batch, const Rows& rows)
    : graph(with_sizes(std::move(part), input, batch, rows)), data(dataset_of(graph, rows)) {}

Tensor RunnableBlock::run() const {
  const Executor executor(graph);
  std::vector<Tensor> parts(static_cast<size_t>(data.num_batches()));
  Tensor all;
  const auto work = [&](int64_t i) {
    if (Progress::stop_requested()) throw Interrupted();
    parts[static_cast<size_t>(i)] = executor.run(data.batch(i).inputs)[0].tensor;
  };
  const auto finish = [&](int64_t i) {
    const Tensor part = std::move(parts[static_cast<size_t>(i)]);
    const int64_t first = i * data.batch_size();
    put(all, part, first, std::min(data.batch_size(), data.num_samples() - first), data.num_samples());
  };
  ordered_for(data.num_batches(), work, finish);
  return all;
}

double variance_of(const Tensor& rows) {
  const auto count = static_cast<double>(rows.numel());
  const double mean = sum_of_chunks(rows, [](const Tensor& part, int64_t) { return part; }) / count;
  const double squares = sum_of_chunks(rows, [&](const Tensor& part, int64_t) { return (part - mean).square(); });
  return squares > 0 ? squares / count : 1;
}

double error_of(const Tensor& rows, const Tensor& wanted) {
  const double squares = sum_of_chunks(rows, [&](const Tensor& part, int64_t first) {
    return (part - wanted.narrow(0, first, part.size(0))).square();
  });
  return squares / static_cast<double>(rows.numel()) / variance_of(wanted);
}

Rows input_rows(const Graph& graph, const Dataset& data, int64_t count) {
  const Dataset few = data.head(count);
  const Executor executor(graph);
  std::vector<Tensor> all(executor.inputs().size());
  for (int64_t i = 0; i < few.num_batches(); ++i) {
    const Dataset::Batch batch = few.batch(i);
    const int64_t given = few.is_batch_fixed() ? few.batch_size() : batch.count;
    for (size_t k = 0; k < all.size(); ++k) {
      const Tensor& rows = batch.inputs[k].tensor;
      if (rows.defined() && rows.dim() > 0 && rows.size(0) == given) put(all[k], rows, batch.first, batch.count, few.num_samples());
    }
  }
  Rows named;
  for (size_t k = 0; k < all.size(); ++k) {
    if (all[k].defined()) named[graph.value(executor.inputs()[k]).name] = all[k];
  }
  return named;
}

}  // namespace niwaki
