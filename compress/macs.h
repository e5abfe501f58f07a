#pragma once

#include "compress/dataset.h"

namespace niwaki {

/// Sizes of values, as inferred or as seen.
using KnownSizes = std::map<ValueId, std::vector<int64_t>>;

/// Sizes of every value of known shape; a free batch counts as 1.
KnownSizes inferred_sizes(const Graph& graph);
/// Sizes of every value of the main body while it runs on the first sample.
KnownSizes observed_sizes(const Graph& graph, const Dataset& data);

/// Inferred sizes where they tell the cost of every node; else, with samples and an executor for every node, observed ones.
KnownSizes sizes_of_one(const Graph& graph, const Dataset* data);

/// Multiply-accumulates of a node: Conv, ConvTranspose, Gemm, MatMul, LSTM, GRU, RNN and their integer forms; 0 for all
/// others, nothing where a size is not known.
std::optional<double> node_macs(const Graph& graph, NodeId node, const KnownSizes& sizes);
/// Of the main body; nodes of unknown size count as 0.
double total_macs(const Graph& graph, const KnownSizes& sizes);

}  // namespace niwaki
