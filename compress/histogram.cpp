#include "compress/histogram.h"

#include <algorithm>
#include <cmath>

namespace niwaki {
namespace {

/// The least e with |x| < 2^e.
int exponent_of(double magnitude) {
  int exponent = 0;
  std::frexp(magnitude, &exponent);
  return magnitude == 0 ? Histogram::kLeastExponent : std::max(exponent, Histogram::kLeastExponent);
}

}  // namespace

double Histogram::edge(int bin) const {
  const double width = std::ldexp(signed_ ? 2.0 : 1.0, exponent_) / kBins;
  return width * (signed_ ? bin - kBins / 2 : bin);
}

void Histogram::widen(int exponent, bool needs_sign) {
  if (needs_sign && !signed_) {              // [0, 2^e) becomes the upper half of [-2^e, 2^e)
    std::vector<int64_t> merged(kBins);
    for (int bin = 0; bin < kBins; ++bin) merged[kBins / 2 + bin / 2] += counts_[bin];
    counts_ = std::move(merged);
    signed_ = true;
  }
  for (; exponent_ < exponent; ++exponent_) {
    if (total_ == 0) {
      exponent_ = exponent;
      return;
    }
    std::vector<int64_t> merged(kBins);
    const int centre = signed_ ? kBins / 2 : 0;
    for (int bin = 0; bin < kBins; ++bin) {
      // pairs are counted from zero outwards, which stays an edge
      const int from_centre = bin - centre;
      merged[centre + (from_centre >= 0 ? from_centre / 2 : -((1 - from_centre) / 2))] += counts_[bin];
    }
    counts_ = std::move(merged);
  }
}

template <typename BinOf>
void Histogram::count_bins(std::span<const float> in, const BinOf& bin_of) {
  std::vector<uint32_t> bins(4 * kBins);     // four tables: equal neighbours do not wait for each other
  size_t i = 0;
  for (; i + 4 <= in.size(); i += 4) {
    ++bins[bin_of(in[i])];
    ++bins[kBins + bin_of(in[i + 1])];
    ++bins[2 * kBins + bin_of(in[i + 2])];
    ++bins[3 * kBins + bin_of(in[i + 3])];
  }
  for (; i < in.size(); ++i) ++bins[bin_of(in[i])];
  for (int bin = 0; bin < kBins; ++bin) {
    counts_[bin] += int64_t{bins[bin]} + bins[kBins + bin] + bins[2 * kBins + bin] + bins[3 * kBins + bin];
  }
  total_ += static_cast<int64_t>(in.size());
}

void Histogram::add(const Tensor& numbers) {
  if (numbers.numel() == 0) return;
  const auto [low, high] = at::aminmax(numbers.detach().to(at::kFloat));
  add(numbers, low.item<double>(), high.item<double>());
}

void Histogram::add(const Tensor& numbers, double low, double high) {
  if (numbers.numel() == 0) return;
  const Tensor flat = numbers.detach().to(at::kCPU, at::kFloat).reshape({-1}).contiguous();
  min_ = total_ == 0 ? low : std::min(min_, low);
  max_ = total_ == 0 ? high : std::max(max_, high);
  widen(exponent_of(std::max(std::fabs(low), std::fabs(high))), low < 0);
  // a power of two: the product is exact, so a number falls into the same bin in any batch
  const float per_width = static_cast<float>(std::ldexp(kBins / (signed_ ? 2.0 : 1.0), -exponent_));
  const int32_t centre = signed_ ? kBins / 2 : 0;
  const auto bin_of = [&](float x) {
    const float place = x * per_width;
    const auto whole = static_cast<int32_t>(place);                        // towards zero; std::floor is a call here
    return static_cast<uint32_t>(whole - (place < static_cast<float>(whole)) + centre);
  };
  count_bins({flat.const_data_ptr<float>(), static_cast<size_t>(flat.numel())}, bin_of);
}

void Histogram::add(const Histogram& other) {
  if (other.total_ == 0) return;
  if (total_ == 0) {
    *this = other;
    return;
  }
  Histogram wide = other;
  const int exponent = std::max(exponent_, other.exponent_);
  const bool is_signed = signed_ || other.signed_;
  widen(exponent, is_signed);
  wide.widen(exponent, is_signed);
  for (int bin = 0; bin < kBins; ++bin) counts_[bin] += wide.counts_[bin];
  min_ = std::min(min_, other.min_);
  max_ = std::max(max_, other.max_);
  total_ += other.total_;
}

}  // namespace niwaki
