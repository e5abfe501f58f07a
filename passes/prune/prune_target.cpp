#include "passes/prune/prune_target.h"

#include "compress/error.h"

#include <cmath>
#include <cstdio>

namespace niwaki {

void require_one_target(const PruneTarget& target, const std::string& parts) {
  if (target.macs_ratio <= 0) throw UsageError("E2008", cat("macs_ratio ", target.macs_ratio, " is not in (0, 1]"));
  if (target.sparsity >= 1) throw UsageError("E2008", cat("sparsity ", target.sparsity, " is not below 1 for ", parts));
  if (target.macs_ratio < 1 && target.sparsity > 0) throw UsageError("E2013", "macs_ratio and sparsity are two targets", {.help = "give one of them"});
  if (target.macs_ratio >= 1 && target.sparsity <= 0) throw UsageError("E2017", "no target was given", {.help = "give --macs-ratio F or --sparsity F"});
}

void refuse_target(const PruneTarget& target, double left, const std::string& available, const std::string& help) {
  const bool counts_macs = target.counts_macs();
  char nearest[32];                          // rounded to the side that can be reached
  std::snprintf(nearest, sizeof nearest, "%.3f", counts_macs ? std::ceil(left * 1000) / 1000 : std::floor((1 - left) * 1000) / 1000);
  throw UnsupportedError("E3210", cat("the target cannot be reached: ", counts_macs ? "--macs-ratio " : "--sparsity ", counts_macs ? target.macs_ratio : target.sparsity),
                         {.found = cat("needed ", counts_macs ? "at least " : "at most ", nearest, " with ", available), .help = help});
}

}  // namespace niwaki
