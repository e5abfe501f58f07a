#include "passes/factorize/spatial_svd.h"

#include "compress/error.h"

#include <algorithm>

namespace niwaki {
namespace {

constexpr double kDamp = 1e-10;              // of the mean diagonal: the least that keeps a singular system solvable
constexpr double kLeastEnergy = 1e-11;       // of the largest: rows that hold less are rounding once they have unit energy

/// Sum over taps of the moments that inputs have at the same tap: [a, a].
Tensor tap_moments(const Tensor& moments, int64_t taps) {
  if (!moments.defined() || taps == 1) return moments;
  const int64_t wide = moments.size(0) / taps;
  return moments.reshape({wide, taps, wide, taps}).diagonal(0, 1, 3).sum(2);
}

/// The map that applies `first` [rank, a] at every tap, times `right` [a * taps, m]: [rank * taps, m].
Tensor at_every_tap(const Tensor& first, const Tensor& right, int64_t taps) {
  return first.mm(right.reshape({first.size(1), -1})).reshape({first.size(0) * taps, -1});
}

Tensor damped_factor(const Tensor& products) {
  const double mean = products.diagonal().mean().item<double>();
  for (double damp = kDamp; damp < 1e3; damp *= 10) {
    const auto [factor, info] = at::linalg_cholesky_ex(products + damp * mean * at::eye(products.size(0), at::kDouble));
    if (info.item<int>() == 0) return factor;
  }
  throw InternalError("second moments are not positive");
}

std::vector<double> left_over(double total, const Tensor& explained) {
  std::vector<double> losses{total};
  const Tensor sums = explained.cumsum(0).contiguous();
  for (int64_t i = 0; i < sums.numel(); ++i) losses.push_back(std::max(0.0, total - sums.const_data_ptr<double>()[i]));
  return losses;
}

}  // namespace

TapSplit::TapSplit(const Tensor& rows, const Tensor& moments, int64_t taps, int64_t most, const Tensor& weights)
    : rows_(rows.to(at::kDouble)), moments_(moments.defined() ? moments.to(at::kDouble) : moments), taps_(taps) {
  weights_ = weights.defined() ? weights.to(at::kDouble).reshape({-1, 1}) : at::ones({rows.size(0), 1}, at::kDouble);
  const int64_t outs = rows_.size(0), wide = rows_.size(1) / taps;
  const Tensor weighted = (rows_ * weights_).reshape({outs, wide, taps}).transpose(1, 2).reshape({outs * taps, wide});
  const OutputSpectrum spectrum = output_spectrum(weighted, tap_moments(moments_, taps));
  const Tensor& energies = spectrum.energies;
  const int64_t live = energies.numel() > 0 ? (energies > kLeastEnergy * energies[0].item<double>()).sum().item<int64_t>() : 0;
  const int64_t count = std::min(most, live);
  // rows of unit energy: what lies between is white, and the systems below are well conditioned
  first_ = spectrum.directions.narrow(1, 0, count).t().mm(weighted) / energies.narrow(0, 0, count).sqrt().unsqueeze(1);
  project();
}

void TapSplit::project() {
  const Tensor seen = moments_.defined() ? moments_.mm(rows_.t()) : rows_.t();                                    // [in, out]
  const double total = ((rows_ * seen.t()).sum(1, true) * weights_ * weights_).sum().item<double>();
  cross_ = at_every_tap(first_, seen, taps_);
  if (num_ranks() == 0) {
    losses_ = {total};
    return;
  }
  if (moments_.defined()) {
    const Tensor half = at_every_tap(first_, moments_, taps_);                                                     // [ranks * taps, in]
    products_ = at_every_tap(first_, half.t(), taps_);
    products_ = (products_ + products_.t()) / 2;
  } else {
    products_ = at::kron(first_.mm(first_.t()), at::eye(taps_, at::kDouble));
  }
  solved_ = at::linalg_solve_triangular(damped_factor(products_), cross_, /*upper=*/false);
  const Tensor squares = at::square(solved_ * weights_.t()).sum(1);
  losses_ = left_over(total, squares.reshape({-1, taps_}).sum(1));
}

/// Y Y^T of the weighted outputs [out, out], of what the first `rank` ranks explain.
Tensor TapSplit::weighted_gram(int64_t rank) const {
  const Tensor part = solved_.narrow(0, 0, rank * taps_) * weights_.t();
  return part.t().mm(part);
}

std::vector<double> TapSplit::losses_through(int64_t input_rank) const {
  const Tensor values = at::linalg_eigvalsh(weighted_gram(input_rank)).flip(0).clamp_min(0);
  return left_over(losses_[0], values);
}

LowRank TapSplit::at(int64_t rank) const {
  const int64_t kept = std::clamp<int64_t>(rank, 0, num_ranks());
  LowRank found{.first = first_.narrow(0, 0, kept), .error = losses_[static_cast<size_t>(kept)]};
  if (kept == 0) return {at::zeros({rows_.size(0), 0}, at::kDouble), found.first, found.error};
  const Tensor factor = damped_factor(products_.narrow(0, 0, kept * taps_).narrow(1, 0, kept * taps_));
  found.last = at::cholesky_solve(cross_.narrow(0, 0, kept * taps_), factor).t();
  const double a = found.last.norm().item<double>(), b = found.first.norm().item<double>();
  const double scale = a > 0 && b > 0 ? std::sqrt(a / b) : 1;
  found.last = found.last / scale;
  found.first = found.first * scale;
  return found;
}

TapSplit::Three TapSplit::through(int64_t input_rank, int64_t output_rank) const {
  const LowRank two = at(input_rank);
  const auto [ascending, vectors] = at::linalg_eigh(weighted_gram(two.first.size(0)));
  const Tensor energies = ascending.flip(0).clamp_min(0);
  const int64_t live = (energies > kLeastEnergy * energies[0].item<double>()).sum().item<int64_t>();
  const int64_t kept = std::min(output_rank, live);
  const Tensor chosen = vectors.flip(1).narrow(1, 0, kept);
  Three found{.first = two.first, .middle = chosen.t().mm(two.last * weights_)};
  // least squares of every row on what the middle makes
  const Tensor part = solved_.narrow(0, 0, two.first.size(0) * taps_);
  const Tensor kept_energies = energies.narrow(0, 0, kept);
  found.last = part.t().mm(part * weights_.t()).mm(chosen) / kept_energies;
  found.error = std::max(0.0, losses_[0] - kept_energies.sum().item<double>());
  const Tensor sizes = kept_energies.sqrt();                                   // of what lies between: all alike
  const Tensor wide = found.last * sizes, narrow = found.middle / sizes.unsqueeze(1);
  const double a = wide.norm().item<double>(), b = narrow.norm().item<double>(), scale = a > 0 && b > 0 ? std::sqrt(a / b) : 1;
  found.last = wide / scale;
  found.middle = narrow * scale;
  return found;
}

SpatialFactors spatial_svd(const Tensor& weight, int64_t rank) {
  const int64_t outs = weight.size(0), ins = weight.size(1), height = weight.size(2), width = weight.size(3);
  const Tensor matrix = weight.to(at::kDouble).permute({0, 3, 1, 2}).reshape({outs * width, ins * height});       // (out, kw), (in, kh)
  const LowRank found = low_rank(matrix, {}, rank);
  const int64_t kept = found.first.size(0);
  return {found.first.reshape({kept, ins, height, 1}), found.last.reshape({outs, width, kept}).transpose(1, 2).reshape({outs, kept, 1, width})};
}

}  // namespace niwaki
