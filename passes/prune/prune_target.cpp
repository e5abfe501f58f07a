#include "passes/prune/prune_target.h"

#include "compress/error.h"

#include <cmath>
#include <cstdio>

namespace niwaki {

void require_one_target(const PruneTarget& target, const std::string& parts) {
  if (target.macs_ratio <= 0) throw UsageError("E2008", cat("macs_ratio ", target.macs_ratio, " is not in (0, 1]"));
  if (target.sparsity >= 1) throw UsageError("E2008", cat("sparsity ", target.sparsity, " is not below 1 for ", parts));
  if (target.latency_ratio <= 0) throw UsageError("E2008", cat("latency_ratio ", target.latency_ratio, " is not in (0, 1]"));
  const bool has_sparsity = target.sparsity > 0;
  if (target.counts_macs() && has_sparsity) throw UsageError("E2013", "macs_ratio and sparsity are two targets", {.help = "give one of them"});
  if (target.counts_time() && (has_sparsity || target.counts_macs())) {
    throw UsageError("E2013", cat("latency_ratio and ", has_sparsity ? "sparsity" : "macs_ratio", " are two targets"), {.help = "give one of them"});
  }
  if (!target.counts_macs() && !target.counts_time() && !has_sparsity) throw UsageError("E2017", "no target was given", {.help = "give --macs-ratio F or --sparsity F"});
}

void refuse_target(const PruneTarget& target, double left, const std::string& available, const std::string& help) {
  const bool counts_up = target.counts_macs() || target.counts_time();   // the number says what is left
  char nearest[32];                          // rounded to the side that can be reached
  std::snprintf(nearest, sizeof nearest, "%.3f", counts_up ? std::ceil(left * 1000) / 1000 : std::floor((1 - left) * 1000) / 1000);
  throw UnsupportedError("E3210", cat("the target cannot be reached: ", target.counts_macs() ? "--macs-ratio " : target.counts_time() ? "latency_ratio " : "--sparsity ", counts_up ? target.share_left() : target.sparsity),
                         {.found = cat("needed ", counts_up ? "at least " : "at most ", nearest, " with ", available), .help = help});
}

}  // namespace niwaki
