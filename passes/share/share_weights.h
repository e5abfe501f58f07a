#pragma once

#include "compress/pass.h"

#include <tuple>

namespace niwaki {

struct ShareWeightsOptions {
  int bits = 0;
  double sqnr_db = 30;
  double rate = 0;
  void validate() const {}
  Needs needs() const { return {}; }
  static constexpr auto fields() {
    using O = ShareWeightsOptions;
    return std::tuple{field("bits", &O::bits, "2^bits numbers for each weight tensor; 0: the fewest that reach sqnr_db").between(0, 8),
                      field("sqnr_db", &O::sqnr_db, "with bits 0: least ratio of the weights to their change").between(0, 100),
                      field("rate", &O::rate, "what a bit of the archive costs, in mean squared weights; 0: plain k-means").between(0, 1)};
  }
};

/// Makes the weights of Conv, Gemm and MatMul share few numbers each, which the archive codes as indices.
///   before   y = Gemm(x, w)
///   after    y = Gemm(x, w')       w' has at most 2^bits different numbers; nothing else changes
/// Zeros of tensors that have many stay zero. With calibration data weights count by the inputs they meet. File and memory stay
/// as large; only `niwaki pack` makes use of it. A second run finds few numbers already and changes nothing.
void share_weights(Graph& graph, const ShareWeightsOptions& options, PassContext& context);

}  // namespace niwaki
