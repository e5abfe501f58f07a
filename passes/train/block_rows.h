#pragma once

#include "compress/dataset.h"

namespace niwaki {

/// One row per sample, by name of the value.
using Rows = std::map<std::string, Tensor>;

/// A part of a model, ready to run on rows: a graph of block_graph() whose inputs have the sizes of the rows.
struct RunnableBlock {
  Graph graph;
  Dataset data;

  /// `input`: the value in the middle that it reads, if any; `batch`: how many samples the whole model takes, first axis
  /// of its inputs.
  RunnableBlock(Graph part, ValueId input, const Dim& batch, const Rows& rows);
  /// Of its output; the same bytes for any number of threads.
  Tensor run() const;
};

/// Of all numbers; 1 where they are all the same. As all here, the same for any number of threads.
double variance_of(const Tensor& rows);
/// Mean squared error, as a share of the variance of what is wanted.
double error_of(const Tensor& rows, const Tensor& wanted);

/// What the first `count` samples hold for each input of the model. Inputs without a row per sample are left out.
Rows input_rows(const Graph& graph, const Dataset& data, int64_t count);

}  // namespace niwaki
