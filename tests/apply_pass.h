#pragma once

#include "compress/pass.h"

namespace niwaki {

struct Applied {
  Graph before, after;
  PassReport report;
};

/// Runs one pass as the pipeline does: infers shapes, verifies, and fails the test if the interface changed.
Applied apply_pass(const std::string& name, const Graph& graph, const Json& options = Json::object(), const Dataset* calibration = nullptr,
                   const Dataset* training = nullptr, const Graph* teacher = nullptr);

}  // namespace niwaki
