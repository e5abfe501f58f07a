#pragma once

#include "passes/store/stored_form.h"

namespace niwaki {

/// Ways to spell a constant with many zeros by the places and numbers of the others: gaps of 4 or 8 bits, long ones
/// bridged by zeros that are stored or by entries that store nothing; or one bit per element. Needs opset 11. Sizes
/// of results never depend on numbers (as with Compress and NonZero): ONNX Runtime would not fold them.
std::vector<StoredForm> sparse_forms(const Graph& graph, const Constant& constant);

}  // namespace niwaki
