#pragma once

#include "compress/pass.h"

namespace niwaki {

/// What pays: fewer weights and multiply-accumulates, or less time as measured on ONNX Runtime.
enum class FactorGoal { smallest, fastest };
constexpr auto names(FactorGoal) { return std::array{"smallest", "fastest"}; }

struct FactorizeWeightsOptions {
  double energy = 0;
  int rank = 0;
  double macs_ratio = 1;
  double sparsity = 0;
  FactorGoal goal = FactorGoal::smallest;
  bool refit = true;
  int round_to = 0;
  int stages = 24;
  void validate() const;
  Needs needs() const { return {}; }
  static constexpr auto fields() {
    using O = FactorizeWeightsOptions;
    return std::tuple{
        field("energy", &O::energy, "share of the energy of each node's outputs that stays").between(0, 1),
        field("rank", &O::rank, "rank of every node that it makes smaller").between(0, 1e6),
        field("macs_ratio", &O::macs_ratio, "multiply-accumulates left, of the original's").between(0, 1),
        field("sparsity", &O::sparsity, "share of the weights of linear nodes that goes").between(0, 1),
        field("goal", &O::goal, "fastest: only factors that ONNX Runtime runs faster than what they replace, as measured"),
        field("refit", &O::refit, "fit the last factors to the original's outputs by least squares"),
        field("round_to", &O::round_to, "ranks are multiples of it; 0: 8, or less where 8 cannot reach the target").between(0, 256),
        field("stages", &O::stages, "steps of the refit, each on what the nodes before it then compute").between(1, 1000)};
  }
};

/// Replaces weights by products of two or three narrow ones, nearest in the outputs on calibration data (in the weights without).
/// Nodes that read the same value share their first factor; a weight that several nodes use is factorized once, as is a table that
/// is looked up and, turned, multiplied by. Forms and ranks follow from the spectra; then the last factors are fitted, in order, to the original's outputs.
///   before   y = Gemm(x, w [256, 784], b)
///   after    h = MatMul(x, w.first [784, 48])   y = Gemm(h, w.last [256, 48], b)
///   before   y = Gather(t [20000, 256], ids)
///   after    h = Gather(t.first [20000, 48], ids)   y = MatMul(h, t.last [48, 256])
/// With goal `fastest`, units whose factors are not measured to be faster are skipped, and times decide: equal runs may differ.
/// Skips what would not be smaller in weights and, but for tables, in multiply-accumulates. E3210 where the target cannot be reached.
void factorize_weights(Graph& graph, const FactorizeWeightsOptions& options, PassContext& context);

}  // namespace niwaki
