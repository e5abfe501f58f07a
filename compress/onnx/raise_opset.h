#pragma once

#include "compress/graph.h"

namespace niwaki {

/// Converts the model to a newer opset of ai.onnx with the ONNX library's converter, and the IR version with it; names,
/// docs and metadata stay. UnsupportedError E3103 where the library cannot.
void raise_opset(Graph& graph, int64_t opset);

/// The least IR version that may carry this opset.
int64_t least_ir_version(int64_t opset);

}  // namespace niwaki
