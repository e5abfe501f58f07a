#pragma once

#include "compress/pass.h"

namespace niwaki {

struct PruneBlocksOptions {
  double macs_ratio = 1;
  double sparsity = 0;
  bool refit = true;
  void validate() const;
  Needs needs() const { return {.calibration = true}; }
  static constexpr auto fields() {
    using O = PruneBlocksOptions;
    return std::tuple{
        field("macs_ratio", &O::macs_ratio, "multiply-accumulates left, of the original's").between(0, 1),
        field("sparsity", &O::sparsity, "share of the weights of linear nodes that goes").between(0, 1),
        field("refit", &O::refit, "repair what is left by least squares")};
  }
};

/// Takes out whole residual blocks, one or two at a time: those whose absence moves the answers on calibration data least per
/// multiply-accumulate (or weight) saved. Linear nodes in front of and behind the gaps are then fitted to what the original computes.
///   before   s = Add(x, f(x)); y = Relu(s)
///   after    y = Relu(x)
/// E3210 with the nearest target that can be reached. A second run with the same macs_ratio changes nothing.
void prune_blocks(Graph& graph, const PruneBlocksOptions& options, PassContext& context);

}  // namespace niwaki
