#include "compress/target.h"

#include <cmath>

namespace niwaki {

double float_cost_us(const Work& work) {
  switch (work.kind) {
    case Work::Kind::convolution: return 0.7 + work.padded_macs / 75000;
    case Work::Kind::depthwise: return 0.7 + work.macs / (work.kernel > 9 ? 42000 : 30000);
    // one row reads each weight once: memory bound
    case Work::Kind::gemm: return work.rows < 16 ? 0.3 + work.macs / 15000 : 0.5 + work.macs / 60000;
    case Work::Kind::add: return 0.4 + work.out_elements / 14000;    // half of them fuse into a convolution
    case Work::Kind::concat: return 1 + work.out_elements / 7500;
    case Work::Kind::max_pool: return 1 + work.taps / 14000;
    case Work::Kind::move: return 0.7 + work.out_elements / 8000;
  }
  return 0;
}

double integer_cost_us(const Work& work) {
  switch (work.kind) {
    case Work::Kind::convolution: return 0.8 + work.macs / 220000 + work.out_elements / 9000;
    case Work::Kind::depthwise: {
      const double blocks = 1 + std::ceil(work.channels / 16);
      return 0.8 + (work.channels < 16 ? 3 : 1) * 0.00065 * work.positions * work.kernel * blocks;
    }
    case Work::Kind::gemm: return work.rows < 16 ? 0.9 + work.macs / 34000 : 0.8 + work.macs / 150000;
    case Work::Kind::add: return 0.5 + work.out_elements / 6500;
    case Work::Kind::concat: return 1 + work.out_elements / 3700;
    case Work::Kind::max_pool: return 1 + work.taps / 14000;
    case Work::Kind::move: return 0.7 + work.out_elements / 8000;
  }
  return 0;
}

double border_cost_us(double elements, bool is_image) {
  return is_image ? 2.1 + elements * 0.525e-3 : 0.7 + elements / 8000;
}

}  // namespace niwaki
