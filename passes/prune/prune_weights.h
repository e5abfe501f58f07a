#pragma once

#include "compress/pass.h"
#include "passes/prune/importance.h"

#include <optional>
#include <tuple>

namespace niwaki {

enum class Scope { layer, global };
constexpr auto names(Scope) { return std::array{"layer", "global"}; }
enum class Allocation { automatic, uniform };
constexpr auto names(Allocation) { return std::array{"auto", "uniform"}; }

struct PruneWeightsOptions {
  std::optional<double> sparsity;            // 0.5; of N:M what the pattern says
  std::string pattern = "unstructured";
  Importance importance = Importance::automatic;
  std::optional<bool> refit;                 // where there is calibration data
  Scope scope = Scope::layer;
  Allocation allocation = Allocation::automatic;
  void validate() const;
  Needs needs() const;
  static constexpr auto fields() {
    using O = PruneWeightsOptions;
    return std::tuple{
        field("sparsity", &O::sparsity, "share of zeros in the pruned layers; 0.5 unless given").between(0, 1),
        field("pattern", &O::pattern, "unstructured, or N:M: N of M consecutive inputs are kept, as in 2:4"),
        field("importance", &O::importance, "what goes first; auto: sparse_gpt with calibration data, magnitude without, or with few where the next step trains"),
        field("refit", &O::refit, "fits the kept weights to the outputs; on with calibration data unless given"),
        field("scope", &O::scope, "zeros counted in each layer, or ranked over all layers"),
        field("allocation", &O::allocation, "shares of the layers: what costs the outputs least (auto), or all the same")};
  }
};

/// Sets weights of Conv, Gemm and MatMul to zero, exactly as many as asked for, and makes the others, and the biases,
/// make up for it.
///   before   y = Gemm(x, w, b)
///   after    y = Gemm(x, w', b')       w' has zeros; nothing else changes
/// Layers below 1 % of the weights and, above a sparsity of 0.5, the last one stay dense. Zeros stay zero, so that a second run
/// at the same sparsity finds little to do; it fits the kept weights again. Weights inside bodies stay.
void prune_weights(Graph& graph, const PruneWeightsOptions& options, PassContext& context);

}  // namespace niwaki
