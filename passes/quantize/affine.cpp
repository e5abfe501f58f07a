#include "passes/quantize/affine.h"

#include "compress/error.h"
#include "compress/parallel.h"

#include <algorithm>
#include <cfloat>
#include <cmath>

namespace niwaki {
namespace {

constexpr float kRound = 12582912.0f;        // 1.5 * 2^23: adding it rounds half to even, and vectorizes

Tensor usable(const Tensor& scale) {
  const Tensor normal = at::isfinite(scale).logical_and(scale >= FLT_MIN);
  return at::where(normal, scale, at::ones_like(scale));
}

/// Parameters [.., blocks, ..] repeated along the axis to the size of x.
Tensor spread(const Tensor& parameter, const Tensor& x, int64_t axis, int64_t block_size) {
  if (block_size == 0) return parameter;
  return parameter.repeat_interleave(block_size, axis).narrow(axis, 0, x.size(axis));
}

/// Squared error of a row at this scale; what saturates counts.
double row_error(const float* x, int64_t n, float scale, float least, float most) {
  const float inverse = 1.0f / scale;
  double total = 0;
  for (int64_t start = 0; start < n; start += 256) {
    const int64_t end = std::min(n, start + 256);
    float sum = 0;
    for (int64_t i = start; i < end; ++i) {
      const float bounded = std::min(std::max(x[i] * inverse, least), most);
      const float error = (bounded + kRound - kRound) * scale - x[i];
      sum += error * error;
    }
    total += sum;
  }
  return total;
}

float best_scale(const float* x, int64_t n, int64_t least, int64_t most, int steps) {
  float largest = 0;
  for (int64_t i = 0; i < n; ++i) largest = std::max(largest, std::fabs(x[i]));
  const float full = largest / static_cast<float>(most);
  if (!(full >= FLT_MIN) || !std::isfinite(full)) return 1;
  float best = full;
  double least_error = DBL_MAX;
  for (int i = 0; i < steps; ++i) {
    const float scale = full * (1.0f - 0.01f * static_cast<float>(i));
    const double error = row_error(x, n, scale, static_cast<float>(least), static_cast<float>(most));
    if (error >= least_error) continue;
    least_error = error;
    best = scale;
  }
  return best;
}

/// Moves codes of one row until the errors, in codes, sum to at most a half.
void balance_row(const float* x, float scale, int64_t n, float least, float most, float* codes) {
  std::vector<float> error(static_cast<size_t>(n));
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) {
    const float exact = x[i] / scale;
    codes[i] = std::min(std::max(std::nearbyint(exact), least), most);
    error[static_cast<size_t>(i)] = exact - codes[i];
    sum += error[static_cast<size_t>(i)];
  }
  const float step = sum > 0 ? 1.0f : -1.0f;
  std::vector<int64_t> order;
  for (int64_t i = 0; i < n; ++i) {
    const float moved = codes[i] + step;
    if (error[static_cast<size_t>(i)] * step > 0 && x[i] != 0 && moved >= least && moved <= most) order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return error[static_cast<size_t>(a)] * step > error[static_cast<size_t>(b)] * step; });
  const auto moves = std::min(static_cast<size_t>(std::nearbyint(std::fabs(sum))), order.size());
  for (size_t i = 0; i < moves; ++i) codes[order[i]] += step;
}

}  // namespace

Ranges ranges_of(const Tensor& x, Granularity granularity, int64_t axis, int64_t block_size) {
  Tensor numbers = x.to(at::kFloat);
  const int64_t rank = numbers.dim();
  if (numbers.numel() == 0) throw InternalError("ranges of an empty tensor");
  if (axis < 0) axis += rank;
  Tensor low, high;
  if (granularity == Granularity::per_tensor || rank == 0) {
    const std::vector<int64_t> ones(static_cast<size_t>(rank), 1);
    low = numbers.min().reshape(ones);
    high = numbers.max().reshape(ones);
  } else if (granularity == Granularity::per_channel) {
    std::vector<int64_t> others;
    for (int64_t i = 0; i < rank; ++i) {
      if (i != axis) others.push_back(i);
    }
    low = others.empty() ? numbers : numbers.amin(others, true);
    high = others.empty() ? numbers : numbers.amax(others, true);
  } else {
    std::vector<Tensor> lows, highs;
    for (const Tensor& block : numbers.split(block_size, axis)) {
      lows.push_back(block.amin(axis, true));
      highs.push_back(block.amax(axis, true));
    }
    low = at::cat(lows, axis);
    high = at::cat(highs, axis);
  }
  return {low.clamp_max(0), high.clamp_min(0)};
}

Affine symmetric_affine(const Ranges& ranges, int bits) {
  const int64_t most = (int64_t{1} << (bits - 1)) - 1;
  const Tensor scale = usable(at::maximum(-ranges.low, ranges.high) / static_cast<double>(most));
  return {scale, at::zeros_like(scale, at::kInt), -most, most};
}

Affine asymmetric_affine(const Ranges& ranges, int bits, bool is_signed) {
  const int64_t codes = int64_t{1} << bits, least = is_signed ? -codes / 2 : 0, most = least + codes - 1;
  const Tensor scale = usable((ranges.high - ranges.low) / static_cast<double>(codes - 1));
  const Tensor zero = at::round(static_cast<double>(least) - ranges.low / scale).clamp(least, most);
  return {scale, zero.to(at::kInt), least, most};
}

Tensor quantize(const Tensor& x, const Affine& affine, int64_t axis, int64_t block_size) {
  const Tensor scale = spread(affine.scale, x, axis, block_size), zero = spread(affine.zero_point, x, axis, block_size);
  const Tensor rounded = at::round(x.to(at::kFloat) / scale) + zero;
  return rounded.clamp(affine.least, affine.most).to(at::kInt);
}

Tensor dequantize(const Tensor& q, const Affine& affine, int64_t axis, int64_t block_size) {
  const Tensor scale = spread(affine.scale, q, axis, block_size), zero = spread(affine.zero_point, q, axis, block_size);
  return (q.to(at::kInt) - zero).to(at::kFloat) * scale;
}

Tensor least_squares_scale(const Tensor& rows, int64_t least, int64_t most, int steps) {
  const Tensor numbers = rows.to(at::kFloat).contiguous();
  const int64_t groups = numbers.size(0), n = numbers.size(1), chunk = 64;
  Tensor scales = at::empty({groups}, at::kFloat);
  const float* x = numbers.const_data_ptr<float>();
  float* out = scales.mutable_data_ptr<float>();
  parallel_for((groups + chunk - 1) / chunk, [&](int64_t part) {
    for (int64_t i = part * chunk; i < std::min(groups, (part + 1) * chunk); ++i) out[i] = best_scale(x + i * n, n, least, most, steps);
  });
  return scales;
}

Tensor balanced_codes(const Tensor& rows, const Tensor& scale, int64_t least, int64_t most) {
  const Tensor numbers = rows.to(at::kFloat).contiguous(), scales = scale.to(at::kFloat).contiguous();
  const int64_t groups = numbers.size(0), n = numbers.size(1), chunk = 64;
  Tensor codes = at::empty({groups, n}, at::kFloat);
  const float *x = numbers.const_data_ptr<float>(), *s = scales.const_data_ptr<float>();
  float* out = codes.mutable_data_ptr<float>();
  parallel_for((groups + chunk - 1) / chunk, [&](int64_t part) {
    for (int64_t i = part * chunk; i < std::min(groups, (part + 1) * chunk); ++i) {
      balance_row(x + i * n, s[i], n, static_cast<float>(least), static_cast<float>(most), out + i * n);
    }
  });
  return codes;
}

double sqnr_db(const Tensor& x, const Tensor& y) {
  const Tensor wide = x.to(at::kDouble);
  const double noise = (wide - y.to(at::kDouble)).square().sum().item<double>(), signal = wide.square().sum().item<double>();
  if (noise == 0) return 200;
  return signal == 0 ? -200 : std::min(200.0, 10 * std::log10(signal / noise));
}

}  // namespace niwaki
