#include "passes/quantize/block_codes.h"

#include "compress/error.h"
#include "compress/parallel.h"

#include <algorithm>
#include <array>
#include <cfloat>
#include <cmath>

namespace niwaki {
namespace {

constexpr float kRound = 12582912.0f;        // 1.5 * 2^23: adding it rounds half to even, and vectorizes
constexpr int kLanes = 16, kSteps = 80, kStride = 4;
constexpr int64_t kRowsAtOnce = 16;

struct Grid {
  float scale = 1, zero = 0, most = 15;
};

float code(float x, const Grid& grid, float inverse) {
  const float rounded = x * inverse + kRound - kRound + grid.zero;
  return std::min(std::max(rounded, 0.0f), grid.most);
}

/// Sum of |error|^2.5: large errors weigh more than in squares.
float block_error(const float* x, int64_t n, const Grid& grid) {
  const float inverse = 1.0f / grid.scale;
  std::array<float, kLanes> sums{};
  for (int64_t start = 0; start < n; start += kLanes) {
    for (int i = 0; i < kLanes; ++i) {
      const float error = std::fabs((code(x[start + i], grid, inverse) - grid.zero) * grid.scale - x[start + i]);
      sums[static_cast<size_t>(i)] += error * error * std::sqrt(error);
    }
  }
  float total = 0;
  for (const float sum : sums) total += sum;
  return total;
}

/// Scale 1 where the range is no number to divide by.
Grid grid_over(float low, float high, int bits, bool symmetric) {
  const auto most = static_cast<float>((1 << bits) - 1), middle = static_cast<float>(1 << (bits - 1));
  const float scale = symmetric ? std::max(-low, high) / (middle - 1) : (high - low) / most;
  if (!(scale >= FLT_MIN) || !std::isfinite(scale)) return {1, symmetric ? middle : 0, most};
  const float zero = symmetric ? middle : std::min(std::max(-low / scale + kRound - kRound, 0.0f), most);
  return {scale, zero, most};
}

Grid best_grid(const float* x, int64_t n, int bits, bool symmetric) {
  float low = 0, high = 0;
  for (int64_t i = 0; i < n; ++i) {
    low = std::min(low, x[i]);
    high = std::max(high, x[i]);
  }
  Grid best = grid_over(low, high, bits, symmetric);
  float least = block_error(x, n, best);
  int best_step = 0;
  const auto try_step = [&](int step) {
    const float share = 1.0f - 0.01f * static_cast<float>(step);
    const Grid grid = grid_over(low * share, high * share, bits, symmetric);
    const float error = block_error(x, n, grid);
    if (error < least) {
      least = error;
      best = grid;
      best_step = step;
    }
    return error;
  };
  for (int step = kStride; step < kSteps; step += kStride) {
    if (try_step(step) > 3 * least) break;   // what is cut off grows from here on
  }
  const int center = best_step;
  for (int step = std::max(1, center - kStride + 1); step < center + kStride; ++step) {
    if (step != center) try_step(step);
  }
  return best;
}

}  // namespace

BlockCodes quantize_blocks(const Tensor& rows, int bits, int64_t block_size, bool symmetric) {
  if (block_size <= 0 || block_size % kLanes != 0) throw InternalError(cat("blocks of ", block_size));
  const Tensor numbers = rows.to(at::kFloat).contiguous();
  const int64_t count = numbers.size(0), n = numbers.size(1), blocks = (n + block_size - 1) / block_size;
  BlockCodes made{at::empty({count, blocks * block_size}, at::kByte), at::empty({count, blocks}, at::kFloat),
                  at::empty({count, blocks}, at::kByte)};
  const float* x = numbers.const_data_ptr<float>();
  auto* codes = made.codes.mutable_data_ptr<uint8_t>();
  auto* scales = made.scale.mutable_data_ptr<float>();
  auto* zeros = made.zero_point.mutable_data_ptr<uint8_t>();
  const auto quantize_row = [&](int64_t row) {
    std::vector<float> block(static_cast<size_t>(block_size));
    for (int64_t b = 0; b < blocks; ++b) {
      const int64_t start = b * block_size, size = std::min(block_size, n - start);
      std::copy_n(x + row * n + start, size, block.begin());
      std::fill(block.begin() + size, block.end(), 0.0f);   // zeros cost nothing on any grid
      const Grid grid = best_grid(block.data(), block_size, bits, symmetric);
      const float inverse = 1.0f / grid.scale;
      uint8_t* out = codes + row * blocks * block_size + start;
      std::transform(block.begin(), block.end(), out, [&](float x) { return static_cast<uint8_t>(code(x, grid, inverse)); });
      scales[row * blocks + b] = grid.scale;
      zeros[row * blocks + b] = static_cast<uint8_t>(grid.zero);
    }
  };
  parallel_for((count + kRowsAtOnce - 1) / kRowsAtOnce, [&](int64_t part) {
    const int64_t end = std::min(count, (part + 1) * kRowsAtOnce);
    for (int64_t row = part * kRowsAtOnce; row < end; ++row) quantize_row(row);
  });
  return made;
}

Tensor dequantize_blocks(const BlockCodes& blocks, int64_t n) {
  const int64_t count = blocks.codes.size(0), per_row = blocks.scale.size(1);
  const Tensor codes = blocks.codes.reshape({count, per_row, -1}).to(at::kFloat);
  const Tensor numbers = (codes - blocks.zero_point.unsqueeze(2).to(at::kFloat)) * blocks.scale.unsqueeze(2);
  return numbers.reshape({count, -1}).narrow(1, 0, n);
}

}  // namespace niwaki
