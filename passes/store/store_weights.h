#pragma once

#include "compress/pass.h"
#include "passes/quantize/affine.h"

#include <optional>
#include <tuple>

namespace niwaki {

struct StoreWeightsOptions {
  int bits = 8;
  std::optional<Granularity> granularity;    // per_channel for 8 bits, per_block for 4
  int block_size = 32;
  bool plain = false;
  void validate() const;
  Needs needs() const { return {}; }
  static constexpr auto fields() {
    using O = StoreWeightsOptions;
    return std::tuple{
        field("bits", &O::bits, "stored integer width, 4 or 8").between(4, 8),
        field("granularity", &O::granularity, "weights that share one scale; per_channel for 8 bits, per_block for 4 unless given"),
        field("block_size", &O::block_size, "weights per scale of per_block; the nearest size that divides a row is taken").between(8, 1024),
        field("plain", &O::plain, "integers of 8 bits stay behind DequantizeLinear, which every tool reads; runtimes expand them on every run")};
  }
};

/// Stores constant weights as integers and rebuilds them with operators that runtimes fold when they load the model.
///   before   y = MatMul(x, w)
///   after    w = Mul(Cast(w_quantized), w_scale), y = MatMul(x, w)
/// 4 bits before opset 21: w = Reshape(Mul(Gather(pairs, w_quantized), w_scale)), pairs [256, 2] shared by all weights.
/// plain, 8 bits: w = DequantizeLinear(w_quantized, w_scale).
/// Weights with many zeros keep codes of 8 bits, of the range of `bits`, for encode_constants, which stores no zeros.
/// Scales are those of least squared error. Tied weights are stored once; a weight of which a reader is kept stays.
void store_weights(Graph& graph, const StoreWeightsOptions& options, PassContext& context);

}  // namespace niwaki
