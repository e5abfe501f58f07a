#pragma once

#include "compress/linear_view.h"
#include "compress/pass.h"

namespace niwaki {

/// One node that reads the weight of a layer, and where the mean error of its outputs can go.
struct LayerReader {
  LinearView view;
  NodeId bias_node{};                        // the node itself, or the Add behind a MatMul
  size_t bias_index = 0;
  bool has_bias = false, can_shift = false;  // can_shift: the bias, there or not yet, may be changed
  double alpha = 1, beta = 1;                // y = alpha W x + beta bias
};

/// A weight that may be pruned, seen as [groups * rows, inputs * taps], with all the nodes that read it.
struct PrunableLayer {
  ValueId weight;
  std::vector<LayerReader> readers;          // tied weights have several
  int64_t groups = 1, rows = 0;              // rows of one group
  int64_t inputs = 0, taps = 1;              // of one row: columns = inputs * taps, in ONNX order

  int64_t size() const { return groups * rows * inputs * taps; }
  bool can_shift() const;
};

struct LayerLimits {
  double least_share = 0.01;                 // of the weights of all layers: smaller ones stay dense
  bool keeps_last = false;                   // the last layer stays dense
};

/// The layers to prune, in order; every other linear node gets a skip with its reason. Nodes that --only names are taken
/// whatever the limits say.
std::vector<PrunableLayer> prunable_layers(const Graph& graph, const LayerLimits& limits, PassContext& context);

/// double [groups, rows, inputs * taps].
Tensor layer_rows(const Graph& graph, const PrunableLayer& layer);
/// Writes [groups, rows, inputs * taps] back in the layout and type of the weight.
void set_layer_rows(Graph& graph, const PrunableLayer& layer, const Tensor& rows);
/// The bias of a reader, in double [out]; zeros where there is none.
Tensor reader_bias(const Graph& graph, const LayerReader& reader);
/// Adds to W x of a reader that can_shift: double [out].
void shift_outputs(Graph& graph, const LayerReader& reader, const Tensor& shift);

}  // namespace niwaki
