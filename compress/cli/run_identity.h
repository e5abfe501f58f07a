#pragma once

#include "compress/cli/job.h"

namespace niwaki {

/// Sixteen hexadecimal digits of all that decides what a run gives and where: the model's bytes, the data files by path, size and
/// time, the passes with their options, seed, output and version. The number of threads does not count.
std::string run_identity(const JobRequest& request, const std::vector<Pass>& passes);

/// What a run directory keeps of a command, and reads back: `resumed_words` of job.h.
std::string request_text(const JobRequest& request);

}  // namespace niwaki
