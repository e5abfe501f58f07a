#pragma once

#include "passes/factorize/spatial_svd.h"

#include <map>
#include <optional>

namespace niwaki {

/// Which maps take the place of one (algorithms.md 6.1).
enum class FactorForm {
  columns,                                   // k x k to r, then 1 x 1; a linear map to r, then one from r
  inputs,                                    // 1 x 1 to r, then k x k
  spatial,                                   // kh x 1 to r, then 1 x kw
  tucker                                     // 1 x 1 to ri, k x k to ro, 1 x 1
};
constexpr auto names(FactorForm) { return std::array{"columns", "inputs", "spatial", "tucker"}; }

/// A linear map, in numbers; positions count over all its uses in one sample.
struct FactoredLayer {
  Tensor rows;                               // [out, in / groups * taps], columns as (c, kh, kw)
  Tensor moments = {};                       // [groups, ...] of the columns; undefined: unit matrices
  Tensor weights = {};                       // [out]: how much each output counts; undefined: alike
  std::vector<int64_t> kernel = {};          // empty: no convolution
  int64_t groups = 1;
  double output_positions = 1, input_positions = 1, middle_positions = 1;   // middle: high as the output, wide as the input
  double table_rows = 0;                     // above 0: a table [table_rows, in] whose rows are read; `rows` is then the unit matrix
  double lookups = 0;                        // of a map whose rows are read as well, as of a table
  int64_t num_seen = 0;                      // of `rows`, the last ones: not of the weight, they stand for rows that are read

  int64_t outputs() const { return rows.size(0) - num_seen; }
  int64_t taps() const;
  int64_t inputs() const { return rows.size(1) / taps(); }     // of one group
  double macs() const { return table_rows > 0 ? 0 : output_positions * num_weights(); }
  double num_weights() const { return (table_rows > 0 ? table_rows : static_cast<double>(outputs())) * static_cast<double>(rows.size(1)); }
};

struct FactorOption {
  FactorForm form = FactorForm::columns;
  int64_t rank = 0, input_rank = 0;          // input_rank: of Tucker-2 alone; ranks are those of one group
  double macs = 0, num_weights = 0;
  double loss = 0;                           // weighted squared error of the outputs
};

/// Ranks that may be chosen: multiples of `step`, or one alone.
struct RankGrid {
  int64_t step = 8, only = 0;
};

/// All ways to factorize a layer, with their costs and losses, and the factors of one of them.
class LayerFactors {
 public:
  explicit LayerFactors(const FactoredLayer& layer) : layer_(layer) {}
  const FactoredLayer& layer() const { return layer_; }
  /// Those with fewer multiply-accumulates and fewer weights than the layer; of a table, with fewer weights.
  std::vector<FactorOption> options(const RankGrid& grid);
  double energy();                           // of the outputs, weighted
  /// The factors, first to last, as matrices [out, in * taps]; groups below each other.
  std::vector<Tensor> factors(const FactorOption& option);
  /// What they compute together, as rows of the layer.
  Tensor product(const FactorOption& option, const std::vector<Tensor>& factors) const;

 private:
  int64_t split_taps(FactorForm form) const;
  double macs_of(const FactorOption& option) const;
  double weights_of(const FactorOption& option) const;
  bool is_smaller(const FactorOption& option) const;
  std::vector<int64_t> ranks(FactorForm form, int64_t most, const RankGrid& grid) const;
  TapSplit& split(int64_t group, FactorForm form);
  void add_splits(FactorForm form, const RankGrid& grid, std::vector<FactorOption>& options);
  void add_tuckers(const RankGrid& grid, std::vector<FactorOption>& options);
  std::vector<Tensor> tucker_factors(const FactorOption& option);

  FactoredLayer layer_;
  std::map<std::pair<int64_t, int64_t>, TapSplit> splits_;   // by group, by taps of the last factor
};

}  // namespace niwaki
