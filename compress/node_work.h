#pragma once

#include "compress/linear_view.h"
#include "compress/macs.h"
#include "compress/target.h"

namespace niwaki {

/// What the cost table wants to know of a Conv, Gemm or MatMul at batch 1; nothing where a size is not known.
std::optional<Work> linear_work(const Graph& graph, const LinearView& view, const KnownSizes& sizes);

}  // namespace niwaki
