#include "passes/factorize/low_rank.h"

#include "compress/error.h"

#include <algorithm>

namespace niwaki {
namespace {

constexpr double kRounding = 1e-14;          // of the largest energy: below it lies nothing but rounding

/// W H, or W where H is the unit matrix.
Tensor times(const Tensor& rows, const Tensor& moments) { return moments.defined() ? rows.mm(moments) : rows; }

/// S with S S^T = H, from the eigenvalues, so that H may be singular.
Tensor root_of(const Tensor& moments) {
  const auto [values, vectors] = at::linalg_eigh(moments);
  return vectors * values.clamp_min(0).sqrt();
}

/// Signs that make the entry of largest size of each column positive; ties go to the first.
Tensor signs_of(const Tensor& columns) {
  const Tensor at = columns.abs().argmax(0, /*keepdim=*/true);
  return at::where(columns.gather(0, at) < 0, -1.0, 1.0).to(at::kDouble);
}

OutputSpectrum sorted(const Tensor& ascending, const Tensor& vectors) {
  const Tensor values = ascending.flip(0).clamp_min(0), directions = vectors.flip(1);
  const double least = values.numel() > 0 ? kRounding * values[0].item<double>() : 0;
  const int64_t count = (values > least).sum().item<int64_t>();
  const Tensor kept = directions.narrow(1, 0, count);
  return {values.narrow(0, 0, count).contiguous(), count > 0 ? (kept * signs_of(kept)).contiguous() : kept};
}

}  // namespace

double OutputSpectrum::energy(int64_t rank) const {
  const int64_t count = energies.numel();
  if (rank >= count) return 1;
  return energies.narrow(0, 0, rank).sum().item<double>() / energies.sum().item<double>();
}

int64_t OutputSpectrum::rank_for(double share) const {
  const int64_t count = energies.numel();
  const Tensor held = energies.cumsum(0);
  const double wanted = count > 0 ? share * held[count - 1].item<double>() : 0;
  const double* sums = held.const_data_ptr<double>();
  return std::min<int64_t>(count, std::lower_bound(sums, sums + count, wanted) - sums + 1);
}

OutputSpectrum output_spectrum(const Tensor& rows, const Tensor& moments) {
  const Tensor w = rows.to(at::kDouble), h = moments.defined() ? moments.to(at::kDouble) : Tensor{};
  if (w.size(0) <= w.size(1)) {
    const Tensor product = times(w, h).mm(w.t());
    const auto [values, vectors] = at::linalg_eigh((product + product.t()) / 2);
    return sorted(values, vectors);
  }
  // more outputs than inputs: the same energies from the smaller product (W S)^T (W S)
  const Tensor ws = h.defined() ? w.mm(root_of(h)) : w;
  const auto [values, vectors] = at::linalg_eigh(ws.t().mm(ws));
  OutputSpectrum found = sorted(values, vectors);
  if (found.energies.numel() == 0) return {found.energies, at::zeros({w.size(0), 0}, at::kDouble)};
  found.directions = ws.mm(found.directions) / found.energies.sqrt();
  found.directions = found.directions * signs_of(found.directions);
  return found;
}

void balance(Tensor& last, Tensor& first, const Tensor& moments) {
  if (first.size(0) == 0) return;
  const Tensor squares = (times(first, moments) * first).sum(1);
  const double mean = squares.mean().item<double>();
  const Tensor sizes = at::where(squares > 1e-12 * mean, squares, mean > 0 ? mean : 1.0).sqrt();
  const Tensor wide = last * sizes, narrow = first / sizes.unsqueeze(1);
  const double a = wide.norm().item<double>(), b = narrow.norm().item<double>();
  const double scale = a > 0 && b > 0 ? std::sqrt(a / b) : 1;
  last = wide / scale;
  first = narrow * scale;
}

LowRank low_rank(const OutputSpectrum& spectrum, const Tensor& rows, const Tensor& moments, int64_t rank) {
  const int64_t count = spectrum.energies.numel(), kept = std::clamp<int64_t>(rank, 0, count);
  LowRank found{.last = spectrum.directions.narrow(1, 0, kept)};
  found.first = found.last.t().mm(rows.to(at::kDouble));
  found.error = spectrum.energies.narrow(0, kept, count - kept).sum().item<double>();
  balance(found.last, found.first, moments.defined() ? moments.to(at::kDouble) : moments);
  return found;
}

LowRank low_rank(const Tensor& rows, const Tensor& moments, int64_t rank) { return low_rank(output_spectrum(rows, moments), rows, moments, rank); }

}  // namespace niwaki
