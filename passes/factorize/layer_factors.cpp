#include "passes/factorize/layer_factors.h"

#include "passes/factorize/tucker2.h"

#include <algorithm>

namespace niwaki {
namespace {

constexpr int64_t kMostRanks = 48;           // options of one form; Tucker-2: inputs times outputs
constexpr int64_t kMostTuckerRanks = 8;
constexpr int64_t kWide = 128;               // from this rank on, multiples of 16

}  // namespace

int64_t FactoredLayer::taps() const {
  int64_t all = 1;
  for (const int64_t size : kernel) all *= size;
  return all;
}

/// Taps that the last factor sees.
int64_t LayerFactors::split_taps(FactorForm form) const {
  if (form == FactorForm::columns) return 1;
  return form == FactorForm::spatial ? layer_.kernel[1] : layer_.taps();
}

double LayerFactors::weights_of(const FactorOption& option) const {
  const auto rank = static_cast<double>(option.rank * layer_.groups), outs = static_cast<double>(layer_.outputs()) / static_cast<double>(layer_.groups);
  const auto ins = static_cast<double>(layer_.inputs()), taps = static_cast<double>(layer_.taps()), ri = static_cast<double>(option.input_rank);
  if (option.form == FactorForm::tucker) return ins * ri + rank * ri * taps + outs * rank;
  if (layer_.table_rows > 0) return rank * (ins + layer_.table_rows);
  const auto last = static_cast<double>(split_taps(option.form));
  return rank * (ins * taps / last + outs * last);
}

double LayerFactors::macs_of(const FactorOption& option) const {
  const auto rank = static_cast<double>(option.rank * layer_.groups), outs = static_cast<double>(layer_.outputs()) / static_cast<double>(layer_.groups);
  const auto ins = static_cast<double>(layer_.inputs()), taps = static_cast<double>(layer_.taps()), ri = static_cast<double>(option.input_rank);
  const auto last = static_cast<double>(split_taps(option.form));
  switch (option.form) {
    case FactorForm::columns: return layer_.output_positions * (layer_.table_rows > 0 ? rank * ins : weights_of(option)) + layer_.lookups * rank * ins;
    case FactorForm::inputs: return layer_.input_positions * ins * rank + layer_.output_positions * outs * rank * last;
    case FactorForm::spatial: return layer_.middle_positions * rank * ins * taps / last + layer_.output_positions * outs * rank * last;
    case FactorForm::tucker: break;
  }
  return layer_.input_positions * ins * ri + layer_.output_positions * (rank * ri * taps + outs * rank);
}

bool LayerFactors::is_smaller(const FactorOption& option) const {
  return (layer_.table_rows > 0 || macs_of(option) < layer_.macs()) && weights_of(option) < layer_.num_weights();
}

/// On the grid, below the rank at which factors are as large as the layer, up to `most`.
std::vector<int64_t> LayerFactors::ranks(FactorForm form, int64_t most, const RankGrid& grid) const {
  if (grid.only > 0) return is_smaller({.form = form, .rank = grid.only}) ? std::vector{grid.only} : std::vector<int64_t>{};
  int64_t high = 0;
  while (high + grid.step < most + grid.step && is_smaller({.form = form, .rank = high + grid.step})) high += grid.step;
  int64_t step = grid.step;
  if (grid.step == 8 && high >= kWide) step = 16;
  while (high / step > kMostRanks) step *= 2;
  std::vector<int64_t> found;
  for (int64_t rank = step; rank <= high; rank += step) found.push_back(rank);
  return found;
}

TapSplit& LayerFactors::split(int64_t group, FactorForm form) {
  const int64_t taps = split_taps(form);
  const auto found = splits_.find({group, taps});
  if (found != splits_.end()) return found->second;
  const int64_t outs = layer_.rows.size(0) / layer_.groups, most = std::min(layer_.rows.size(1) / taps, outs * taps);
  const Tensor weights = layer_.weights.defined() ? layer_.weights.narrow(0, group * outs, outs) : Tensor{};
  const Tensor moments = layer_.moments.defined() ? layer_.moments[group] : Tensor{};
  return splits_.emplace(std::pair{group, taps}, TapSplit(layer_.rows.narrow(0, group * outs, outs), moments, taps, most, weights)).first->second;
}

double LayerFactors::energy() {
  double sum = 0;
  for (int64_t group = 0; group < layer_.groups; ++group) sum += split(group, FactorForm::columns).energy();
  return sum;
}

void LayerFactors::add_splits(FactorForm form, const RankGrid& grid, std::vector<FactorOption>& options) {
  const int64_t outs = layer_.rows.size(0) / layer_.groups, taps = split_taps(form);
  const std::vector<int64_t> wanted = ranks(form, std::min(layer_.rows.size(1) / taps, outs * taps), grid);
  for (const int64_t rank : wanted) {
    FactorOption option{.form = form, .rank = rank};
    for (int64_t group = 0; group < layer_.groups; ++group) {
      const TapSplit& known = split(group, form);
      option.loss += known.losses()[static_cast<size_t>(std::min(rank, known.num_ranks()))];
    }
    option.macs = macs_of(option);
    option.num_weights = weights_of(option);
    options.push_back(option);
  }
}

void LayerFactors::add_tuckers(const RankGrid& grid, std::vector<FactorOption>& options) {
  const int64_t ins = layer_.inputs(), outs = layer_.rows.size(0);
  const int64_t step = std::max<int64_t>(grid.step, (ins / kMostTuckerRanks + grid.step - 1) / grid.step * grid.step);
  const int64_t out_step = std::max<int64_t>(grid.step, (outs / kMostTuckerRanks + grid.step - 1) / grid.step * grid.step);
  for (int64_t ri = grid.only > 0 ? grid.only : step; ri <= ins; ri += step) {
    std::vector<double> losses;
    for (int64_t ro = grid.only > 0 ? grid.only : out_step; ro < outs; ro += out_step) {
      FactorOption option{.form = FactorForm::tucker, .rank = ro, .input_rank = ri};
      if (!is_smaller(option)) break;
      TapSplit& known = split(0, FactorForm::inputs);
      if (losses.empty()) losses = known.losses_through(std::min(ri, known.num_ranks()));
      option.loss = losses[std::min(static_cast<size_t>(ro), losses.size() - 1)];
      option.macs = macs_of(option);
      option.num_weights = weights_of(option);
      options.push_back(option);
      if (grid.only > 0) return;
    }
    if (grid.only > 0) return;
  }
}

std::vector<FactorOption> LayerFactors::options(const RankGrid& grid) {
  std::vector<FactorOption> found;
  add_splits(FactorForm::columns, grid, found);
  const bool has_taps = layer_.taps() > 1 && layer_.groups == 1;
  if (!has_taps) return found;
  add_splits(FactorForm::inputs, grid, found);
  if (layer_.kernel.size() == 2 && layer_.kernel[0] > 1 && layer_.kernel[1] > 1) add_splits(FactorForm::spatial, grid, found);
  add_tuckers(grid, found);
  return found;
}

std::vector<Tensor> LayerFactors::tucker_factors(const FactorOption& option) {
  if (layer_.moments.defined()) {
    const TapSplit::Three three = split(0, FactorForm::inputs).through(option.input_rank, option.rank);
    return {three.first, three.middle, three.last};
  }
  const Tucker2 found = tucker2(layer_.rows.reshape({layer_.rows.size(0), layer_.inputs(), layer_.taps()}), option.input_rank, option.rank);
  return {found.first, found.core.reshape({found.core.size(0), -1}), found.last};
}

std::vector<Tensor> LayerFactors::factors(const FactorOption& option) {
  if (option.form == FactorForm::tucker) return tucker_factors(option);
  std::vector<Tensor> firsts, lasts;
  for (int64_t group = 0; group < layer_.groups; ++group) {
    const LowRank two = split(group, option.form).at(option.rank);
    // groups have one rank: where one has fewer directions, the others' width holds zeros
    const int64_t missing = layer_.groups > 1 ? option.rank - two.first.size(0) : 0;
    firsts.push_back(at::constant_pad_nd(two.first, {0, 0, 0, missing}));
    lasts.push_back(at::constant_pad_nd(two.last, {0, missing}));
  }
  return {at::cat(firsts), at::cat(lasts)};
}

Tensor LayerFactors::product(const FactorOption& option, const std::vector<Tensor>& factors) const {
  const int64_t taps = split_taps(option.form), groups = layer_.groups;
  const Tensor &first = factors[0], &second = factors[1];
  const Tensor narrow = first.reshape({groups, -1, first.size(1)});                                                       // [g, r, a]
  const Tensor wide = second.reshape({groups, second.size(0) / groups, narrow.size(1), taps});                           // [g, o, r, s]
  const Tensor two = at::einsum("gors,gra->goas", {wide, narrow}).reshape({second.size(0), first.size(1) * taps});
  return factors.size() == 3 ? factors[2].mm(two) : two;
}

}  // namespace niwaki
