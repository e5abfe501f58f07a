#pragma once

#include "compress/graph.h"

namespace niwaki {

/// Gives values the types and shapes that the ONNX library infers; what it cannot tell stays unknown.
/// With `strict`, a contradiction between a declared and an inferred shape is E1320.
void infer_shapes(Graph& graph, bool strict = false);

}  // namespace niwaki
