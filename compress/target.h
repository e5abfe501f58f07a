#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace niwaki {

/// The runtime that the emitted file is for.
enum class Target { onnxruntime_cpu, onnxruntime_cpu_novnni, generic };
constexpr auto names(Target) { return std::array{"onnxruntime-cpu", "onnxruntime-cpu-novnni", "generic"}; }

/// Work of one node at batch 1, as the cost table wants it.
struct Work {
  enum class Kind { convolution, depthwise, gemm, add, concat, max_pool, average_pool, move } kind = Kind::move;
  double kernel = 1;                         // taps per output of a convolution
  double positions = 1;                      // of the output of a convolution
  double outputs = 1, inputs = 1, groups = 1;   // channels out, channels in per group
  double macs = 0, rows = 1;                 // of a Gemm
  double out_elements = 0;
  double taps = 0;                           // numbers read by pooling
  bool is_fused = false;                     // an Add that a float convolution takes in
  bool has_activation = false;
};

/// Microseconds per run of one node in float and with integer kernels, and of a border between both; deterministic:
/// fitted once to ONNX Runtime 1.31 (CPU, 2 threads, AVX-512 VNNI), never measured at run time.
double float_cost_us(const Work& work);
double integer_cost_us(const Work& work);
/// QuantizeLinear or DequantizeLinear of a value, with the layout change of a 4-D one.
double border_cost_us(double elements, bool is_image);
/// QuantizeLinear of a graph input: float images arrive unblocked.
double input_border_cost_us(double elements, bool is_image, int64_t channels);
/// What codes cost on the wrong side of a float MaxPool: the runtime moves them above it and pools in the slow layout.
double misplaced_pool_cost_us(double taps);
/// What each integer Add of a model pays when one of them has a float skip connection: two transposes.
double broken_chain_cost_us(double elements);

}  // namespace niwaki
