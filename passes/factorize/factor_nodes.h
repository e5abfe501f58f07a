#pragma once

#include "compress/linear_view.h"
#include "passes/factorize/layer_factors.h"

namespace niwaki {

/// Puts the factors (matrices of LayerFactors) in the place of linear nodes. The last factor takes over the node: its name, its
/// output, its bias. The others stand before it and have no bias. Their names grow from the weight's.
class FactorNodes {
 public:
  explicit FactorNodes(Graph& graph) : graph_(graph) {}
  /// One node, or several that use the same weight: the factors are stored once.
  void replace_uses(const std::vector<LinearView>& uses, FactorForm form, const std::vector<Tensor>& factors);
  /// Linear nodes that read the same columns: one first factor for all, the rows of the last one in the order of the nodes.
  void replace_sharers(const std::vector<LinearView>& nodes, const std::vector<Tensor>& factors);
  /// A table and the map that its narrow rows go through: another node stands behind each Gather.
  void replace_table(ValueId table, const std::vector<NodeId>& gathers, const std::vector<Tensor>& factors);
  /// A table [V, D] whose rows are looked up, and that MatMul and Gemm multiply by, turned: both read the same two constants. `heads`
  /// read the table, or a turned copy of it: a constant or a Transpose.
  void replace_tied(ValueId table, const std::vector<NodeId>& gathers, const std::vector<LinearView>& heads, const std::vector<Tensor>& factors);

 private:
  /// The parts of a table: [V, r] and [r, D].
  struct Parts {
    ValueId narrow, last;
  };
  Parts store_table(ValueId table, const Tensor& narrow, const Tensor& last);
  void widen_rows(const std::vector<NodeId>& gathers, const Parts& parts);
  ValueId turned(NodeId before, const char* part, ValueId matrix);
  void remove_old(ValueId weight);
  ValueId add_constant(const LinearView& like, const char* part, const Tensor& weight);
  ValueId add_node(const LinearView& view, const char* part, Node node, ValueId input, ValueId weight);
  std::vector<ValueId> stored(const LinearView& view, FactorForm form, const std::vector<Tensor>& factors);
  void replace_linear(const LinearView& view, const std::vector<ValueId>& weights);
  void replace_conv(const LinearView& view, FactorForm form, const std::vector<ValueId>& weights);
  void take_weight(const LinearView& view, ValueId input, ValueId weight);

  Graph& graph_;
};

}  // namespace niwaki
