#include "compress/linear_algebra.h"
#include "compress/parallel.h"
#include "compress/random.h"
#include "passes/prune/sparse_gpt.h"

#include <benchmark/benchmark.h>

#include <chrono>
#include <cmath>

namespace niwaki {
namespace {

Tensor normal(int64_t rows, int64_t columns) {
  Tensor x = at::empty({rows, columns});
  Generator generator(1, "x");
  float* const numbers = x.mutable_data_ptr<float>();
  for (int64_t i = 0; i < x.numel(); ++i) numbers[i] = static_cast<float>(generator.uniform() - 0.5);
  return x;
}

struct Layer {
  Tensor weights, gram;
  explicit Layer(int64_t size) : weights(normal(size, size).to(at::kDouble)) {
    const Tensor x = normal(size, size + 64);
    gram = x.mm(x.t()).to(at::kDouble);
  }
};

/// Multiplications and additions per second of plain products on the threads in use: what the best of these reach.
double product_rate(at::ScalarType type) {
  const Tensor x = normal(1024, 1024).to(type);
  const int64_t count = 8;
  const auto run = [&] { parallel_for(count, [&](int64_t) { benchmark::DoNotOptimize(at::mm(x, x)); }); };
  run();
  const auto begin = std::chrono::steady_clock::now();
  run();
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - begin;
  return static_cast<double>(count) * 2 * std::pow(1024.0, 3) / passed.count();
}

/// Cholesky's factor and its inverse, n^3 / 3 multiplications and additions each, at the rate of products.
double factor_bound(double size) { return 2.0 / 3 * std::pow(size, 3) / product_rate(at::kDouble); }

void factor(benchmark::State& state) {
  set_num_threads(2);
  const Layer layer(state.range(0));
  for (auto _ : state) benchmark::DoNotOptimize(inverse_upper(factor_damped(layer.gram).upper));
  state.counters["bound_ms"] = 1e3 * factor_bound(static_cast<double>(state.range(0)));
}
BENCHMARK(factor)->Arg(1024)->Arg(4096)->Unit(benchmark::kMillisecond)->UseRealTime();

/// A whole layer, its Gram given, at half the weights: O n^2 multiplications and additions more.
void prune_layer(benchmark::State& state) {
  set_num_threads(2);
  const Layer layer(state.range(0));
  const int64_t num_zeros = layer.weights.numel() / 2;
  for (auto _ : state) benchmark::DoNotOptimize(sparse_gpt(layer.weights, layer.gram, num_zeros, {.is_float = true}).loss);
  const auto size = static_cast<double>(state.range(0));
  state.counters["bound_ms"] = 1e3 * (factor_bound(size) + std::pow(size, 3) / product_rate(at::kFloat));
}
BENCHMARK(prune_layer)->Arg(1024)->Arg(4096)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
}  // namespace niwaki
