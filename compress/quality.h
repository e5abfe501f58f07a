#pragma once

#include "compress/intervals.h"
#include "compress/json.h"
#include "compress/metrics.h"

#include <optional>
#include <string>

namespace niwaki {

/// Quality of the original and of the candidate on the same samples.
struct Comparison {
  MetricTraits traits;
  int64_t samples = 0;
  std::optional<double> before;  // absent where the original has no value of its own (sqnr_db)
  double after = 0;
  std::optional<double> drop;          // positive is worse; points for shares, nats for perplexity
  std::optional<Interval> ci95;        // of the drop, or of `after` where there is no drop
  std::optional<Interval> after_ci95;  // of `after`
  std::string method;                  // "tango", "wilson", "bootstrap", "no interval"
  std::optional<double> p_value;       // exact McNemar, for shares of right answers
};

/// Two metrics of one kind that saw the same samples in the same order.
Comparison compare_quality(const Metric& before, const Metric& after, uint64_t seed = 0);
/// A metric that is measured against the original's outputs: agreement, cosine, sqnr_db.
Comparison compare_quality(const Metric& fidelity, uint64_t seed = 0);
/// An entry of quality[] of the report; shares are 0 to 1, the drop in its unit, infinity is null.
Json to_json(const Comparison& comparison);

}  // namespace niwaki
