#pragma once

#include "compress/dataset.h"
#include "compress/options.h"
#include "compress/runtime_worker.h"

namespace niwaki {

/// Judges a written file before it takes its name (ux.md section 13): Niwaki reads it back, the ONNX checker passes it, ONNX
/// Runtime loads and runs it on up to 16 samples (seeded ones where there are none) and agrees with the built-in executor.
/// Returns the report's `verification`. Without a worker only the first two and the executor judge. E3312 where the outputs
/// differ beyond the tolerance, E3311 where ONNX Runtime refuses, E3310 where it dies.
Json verify_written(const std::string& path, const std::string& original_path, const Graph& graph, const Dataset* samples, RuntimeWorker* worker, int threads);

}  // namespace niwaki
