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
  enum class Kind { convolution, depthwise, gemm, add, concat, max_pool, move } kind = Kind::move;
  double macs = 0;                           // multiply-accumulates, channels as they are
  double padded_macs = 0;                    // channels rounded up to 16, as blocked float kernels compute
  double out_elements = 0;
  double rows = 1;                           // of a Gemm: M
  double taps = 0;                           // kernel elements x outputs, of pooling
  double kernel = 1, channels = 1, positions = 1;   // of a depthwise convolution
};

/// Microseconds per run of one node in float and with integer kernels, and of a border between both; deterministic:
/// fitted once to ONNX Runtime 1.31 (CPU, 2 threads, AVX-512 VNNI), never measured at run time.
double float_cost_us(const Work& work);
double integer_cost_us(const Work& work);
/// QuantizeLinear or DequantizeLinear of a value, with the layout change of a 4-D one.
double border_cost_us(double elements, bool is_image);

}  // namespace niwaki
