#pragma once

#include "passes/store/stored_form.h"

namespace niwaki {

/// Ways to spell a constant with less: fills, repeats, ranges, masks, narrower types, codebooks, positions of what is not
/// zero (where the form may be sparse). Only operators of the graph's opset; none of them is checked yet.
std::vector<StoredForm> exact_forms(const Graph& graph, const Constant& constant, bool may_be_sparse = true);

/// `constant` as Transpose or Reshape of the constant of `twin`, or nullopt where its numbers are others.
std::optional<StoredForm> twin_form(const Constant& constant, ValueId twin, const Constant& numbers);

}  // namespace niwaki
