#pragma once

#include "compress/intervals.h"
#include "compress/json.h"
#include "compress/metrics.h"

#include <cstdint>
#include <optional>
#include <string>

namespace niwaki {

enum class Verdict { pass, fail, inconclusive };
std::string name_of(Verdict verdict);

/// The most quality that may be lost: an amount in the metric's unit, or percent of the original's
/// value.
struct Drop {
  double amount = 0;
  std::string unit;          // "pt", "nat", "dB" or ""
  bool is_relative = false;  // amount is percent of the original's value
  std::string text() const;  // "1 pt", "1 %"
};

/// "1pt", "1%", "0.05nat", "0.5dB"; UsageError E2012 for anything else, and for a bare number where
/// the unit is pt.
Drop parse_drop(const std::string& text, const std::string& metric);
/// "300KB", "2MB", "1.5GB", "123456"; 1 MB is 10^6 bytes. UsageError E2012.
int64_t parse_size(const std::string& text);
/// "2%" or "0.02" as 0.02; UsageError E2012.
double parse_share(const std::string& text);

/// `value` against the largest allowed `limit`: hi <= limit passes, lo > limit fails; without an
/// interval by value.
Verdict judge(double value, const std::optional<Interval>& interval, double limit);

/// What the user asked of the result; absent: not gated.
struct GateLimits {
  std::optional<int64_t> max_bytes;
  std::optional<double> max_size_ratio;  // after / before
  std::optional<double> max_growth;      // against baseline_bytes, 0.02 is 2 %
  std::optional<int64_t> baseline_bytes;
  std::string metric;                       // "": the first of quality[]
  std::optional<std::string> max_drop;      // as written; its meaning depends on the metric
  std::optional<double> min_quality;        // for metrics without a drop; shares are 0 to 1
  std::optional<double> max_latency_ratio;  // after / before
  bool size_informational = false, quality_informational = false, latency_informational = false;
  bool allow_growth = false;
  bool accept_inconclusive = false;  // --on-inconclusive warn
};

/// The `gates:` block of a recipe or gates file: {size, quality, latency}; UsageError E2004 for
/// unknown keys.
GateLimits parse_limits(const Json& gates);

/// Judges `report` (before, after, quality, latency) and writes gates[], verdict, status and the
/// messages E6001 to E6005 into it; earlier gates and E6 messages are replaced. Returns the exit
/// code, 0 or 1.
int apply_gates(Json& report, const GateLimits& limits);

}  // namespace niwaki
