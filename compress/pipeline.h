#pragma once

#include "compress/dataset.h"
#include "compress/pass.h"

#include <span>

namespace niwaki {

struct RunInputs {
  const Dataset* calibration = nullptr;
  const Dataset* training = nullptr;
  const Graph* teacher = nullptr;            // for distillation
  std::vector<std::string> keep, only;
  uint64_t seed = 0;
  double original_macs = 0;                  // of the model as it was read; 0: not known
  std::string dump_directory;                // text of every changed graph; "": none
  std::string stop_after;                    // pass name
  std::vector<std::string> skip;             // pass names
  std::string checkpoint_directory;          // where passes keep what they need to go on after a stop; "": nowhere
  const ProcessGroup* group = nullptr;       // the processes that train together; null: this one alone
};

/// A pass that may cost bytes, or change results, is not undone; one that only cleans up is, when the model grew.
bool only_cleans_up(const std::string& pass);

/// Runs the passes in order on `graph`, each on a copy that is checked before it counts: after a failure `graph` is the last
/// good one. What every pass needs is checked before the first one runs.
std::vector<PassReport> run(std::span<const Pass> passes, Graph& graph, const RunInputs& inputs, Progress& progress);

}  // namespace niwaki
