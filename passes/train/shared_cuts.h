#pragma once

#include "passes/train/block_rows.h"

#include <set>

namespace niwaki {

/// What the inputs of a model hold for a batch, by name.
using Given = std::map<std::string, RunValue>;

/// A value that carries everything in the student and in the teacher.
struct SharedCut {
  ValueId own = ValueId::absent, theirs = ValueId::absent;
  int64_t bytes = 0;                         // of a sample
};

/// The first batch of samples; `graph` is the one that the data is for.
Given first_batch(const Graph& graph, const Dataset& data);

/// A copy in which inputs that are the same for every sample, so without rows, are constants.
Graph with_fixed_inputs(const Graph& graph, const Given& given, const Rows& rows);

/// Cuts of both graphs with the same name and sizes and a row per sample, in an order that both have; `rows` are those of
/// `given`. E3322 where the teacher has an input that is not given.
std::vector<SharedCut> shared_cuts(const Graph& student, const Graph& teacher, const std::set<ValueId>& weights, const Given& given, int64_t rows);

}  // namespace niwaki
