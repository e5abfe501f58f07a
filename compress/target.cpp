#include "compress/target.h"

#include <algorithm>
#include <cmath>

namespace niwaki {
namespace {

double to_16(double channels) { return std::ceil(channels / 16) * 16; }

double float_convolution_us(const Work& work) {
  if (work.kind == Work::Kind::depthwise) {
    return 0.7 + work.kernel * work.positions * to_16(work.outputs) / (work.kernel >= 25 ? 45000 : 25000);
  }
  const bool is_thin = work.inputs < 16;     // blocked kernels want 16 channels
  const double inputs = is_thin ? work.inputs : to_16(work.inputs);
  const double once = work.kernel * work.positions * to_16(work.outputs) * inputs / (is_thin ? 55000 : 85000);
  return 0.7 + (work.groups > 1 ? 2 : 1) * once;
}

double integer_convolution_us(const Work& work) {
  const double taps = work.kernel * work.positions;
  if (work.kind == Work::Kind::depthwise) {
    return 0.8 + taps * work.outputs / (work.outputs < 16 ? 4000 : work.kernel >= 25 ? 36000 : 28000);
  }
  const double copies = work.inputs < 16 && work.kernel > 1 ? 0.0014 * taps * work.groups : 0;   // im2col
  return 0.8 + taps * work.outputs * std::max(work.inputs, 4.0) / 250000 + work.out_elements / 9000 + copies;
}

}  // namespace

double float_cost_us(const Work& work) {
  switch (work.kind) {
    case Work::Kind::convolution:
    case Work::Kind::depthwise: return float_convolution_us(work);
    // few rows read each weight once: memory bound
    case Work::Kind::gemm: return work.rows < 8 ? 0.3 + work.macs / 15000 : 0.5 + work.macs / 60000;
    case Work::Kind::add: return work.is_fused ? 0 : (0.4 + work.out_elements / 7000) * (work.has_activation ? 2 : 1);
    case Work::Kind::concat: return 1 + work.out_elements / 7500;
    case Work::Kind::max_pool: return 1 + work.taps / 14000;
    case Work::Kind::average_pool: return 1 + work.taps / 20000;
    case Work::Kind::move: return 1 + work.out_elements / 8000;
  }
  return 0;
}

double integer_cost_us(const Work& work) {
  switch (work.kind) {
    case Work::Kind::convolution:
    case Work::Kind::depthwise: return integer_convolution_us(work);
    case Work::Kind::gemm: return work.rows < 8 ? 0.9 + work.macs / 34000 : 0.8 + work.macs / 150000;
    case Work::Kind::add: return 0.5 + work.out_elements / 6500;
    case Work::Kind::concat: return 1 + work.out_elements / 3700;
    case Work::Kind::max_pool: return 1 + work.taps / 14000;
    case Work::Kind::average_pool: return 1 + work.taps / 1500;
    case Work::Kind::move: return 1 + work.out_elements / 9000;
  }
  return 0;
}

double border_cost_us(double elements, bool is_image) { return is_image ? 2.1 + elements * 0.525e-3 : 0.7 + elements / 8000; }

double input_border_cost_us(double elements, bool is_image, int64_t channels) {
  return 0.7 + elements / 8000 + (is_image && channels > 1 ? 0.7 + elements / 5000 : 0);
}

double misplaced_pool_cost_us(double taps) { return taps / 1200; }

double broken_chain_cost_us(double elements) { return 2 * (0.7 + elements / 5000); }

}  // namespace niwaki
