#pragma once

#include "passes/train/integer_form.h"

#include <map>
#include <optional>

namespace niwaki {

/// A quantized graph, and beside it the same graph on floats that are rounded as its integers are: what is trained in one is
/// written into the other.
class QuantizedTwin {
 public:
  /// `floats`: the graph that became `emitted`, whose weights are trained; `bits` of those that were asked for.
  QuantizedTwin(const Graph& emitted, const Graph& floats, int bits, int64_t most8);
  /// Nodes of niwaki.train stand where integers were; ids are those of `emitted`.
  Graph& graph() { return twin_; }
  size_t num_weights() const { return weights_.size(); }
  size_t num_values() const { return num_values_; }
  /// Gives `emitted` the codes and scales with which the twin computes.
  void write(Graph& emitted) const;

 private:
  struct Weight {
    ValueId codes;                           // of the quantized graph
    NodeId node;                             // FakeQuantize
    IntegerForm form;
  };
  struct Bias {
    ValueId codes, scale;
    NodeId node;                             // FakeQuantizeBias
  };
  ValueId scale_of(ValueId constant);
  ValueId fake_weight(const Tensor& original, const Constant& codes, const IntegerForm& form, const std::string& name, Node node);
  void take_activations();
  void take_weight(NodeId dequantize);
  void take_bias(NodeId dequantize);
  void take_stored(NodeId product);
  void take_product(NodeId id);
  void take_table(NodeId id);
  std::optional<ValueId> rows_of(NodeId id, ValueId codes, size_t scale, size_t zero, IntegerForm form);
  const Constant* weight_of(const Node& node) const;
  void keep_room(std::map<ValueId, Tensor>& scales) const;
  Tensor number(ValueId value, const std::map<ValueId, Tensor>& scales) const;
  Tensor codes_of_weight(NodeId node, const std::map<ValueId, Tensor>& scales) const;

  const Graph& floats_;
  Graph twin_;
  int bits_;
  int64_t most8_;                            // largest code of 8 bits
  std::map<ValueId, ValueId> scales_;        // constant of `emitted` -> output of TrainScale
  std::map<std::pair<const Constant*, ValueId>, ValueId> rows_;   // a weight at these scales -> output of FakeQuantize
  std::map<ValueId, ValueId> numbers_;       // codes behind DequantizeLinear -> what is trained: one for all readers
  std::vector<Weight> weights_;
  std::vector<Bias> biases_;
  size_t num_values_ = 0;
};

}  // namespace niwaki
