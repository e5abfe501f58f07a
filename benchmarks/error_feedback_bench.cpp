#include "compress/linear_algebra.h"
#include "compress/parallel.h"
#include "compress/random.h"
#include "passes/prune/sparse_gpt.h"

#include <benchmark/benchmark.h>

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

/// Cholesky's factor and its inverse: 2/3 n^3 multiplications and additions each.
void factor(benchmark::State& state) {
  const Layer layer(state.range(0));
  set_num_threads(2);
  for (auto _ : state) benchmark::DoNotOptimize(inverse_upper(factor_damped(layer.gram).upper));
}
BENCHMARK(factor)->Arg(1024)->Arg(4096)->Unit(benchmark::kMillisecond)->UseRealTime();

/// A whole layer, its Gram given, at half the weights.
void prune_layer(benchmark::State& state) {
  const Layer layer(state.range(0));
  set_num_threads(2);
  const int64_t num_zeros = layer.weights.numel() / 2;
  for (auto _ : state) benchmark::DoNotOptimize(sparse_gpt(layer.weights, layer.gram, num_zeros, {.is_float = true}).loss);
}
BENCHMARK(prune_layer)->Arg(1024)->Arg(4096)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
}  // namespace niwaki
