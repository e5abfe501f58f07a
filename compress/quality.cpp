#include "compress/quality.h"

#include "compress/error.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

namespace niwaki {
namespace {

constexpr uint64_t kDraws = 10000;

/// True where every sample is simply right or wrong, as Tango and Wilson need it.
bool is_binary(const Metric& metric) {
  const auto& values = metric.per_sample();
  const auto& weights = metric.weights();
  return metric.traits().is_share && !metric.is_set_level() &&
         std::all_of(values.begin(), values.end(), [](double x) { return x == 0 || x == 1; }) &&
         std::all_of(weights.begin(), weights.end(), [](double x) { return x == 1; });
}

double share_scale(const MetricTraits& traits) {
  return traits.is_share && traits.unit == "pt" ? 100 : 1;
}

/// Perplexity is compared in nats: its exponential is no mean.
double in_unit_of_drop(const Metric& metric) {
  return metric.traits().name == "perplexity" ? std::log(metric.value()) : metric.value();
}

double drop_between(const Metric& before, const Metric& after) {
  const double worse = in_unit_of_drop(before) - in_unit_of_drop(after);
  return share_scale(after.traits()) * (after.traits().higher_is_better ? worse : -worse);
}

Interval scaled(Interval interval, double factor) {
  const double a = interval.lo * factor, b = interval.hi * factor;
  return {std::min(a, b), std::max(a, b)};
}

void compare_right_and_wrong(const Metric& before, const Metric& after, Comparison& result) {
  int64_t lost = 0, won = 0;
  for (size_t i = 0; i < after.per_sample().size(); ++i) {
    lost += before.per_sample()[i] > after.per_sample()[i];
    won += before.per_sample()[i] < after.per_sample()[i];
  }
  result.ci95 = scaled(tango(lost, won, result.samples), 100);
  result.p_value = mcnemar_p(lost, won);
  result.method = "tango";
}

Interval paired_bootstrap(const Metric& before, const Metric& after, uint64_t seed) {
  const double sign = after.traits().higher_is_better ? 1 : -1;
  std::vector<double> drops;
  if (after.is_set_level()) {
    for (uint64_t draw = 0; draw < kDraws; ++draw) {
      const auto counts = resample_counts(after.per_sample().size(), seed, draw);
      drops.push_back(sign * (before.resampled(counts) - after.resampled(counts)));
    }
    return percentile_interval(drops);
  }
  for (size_t i = 0; i < after.per_sample().size(); ++i) {
    drops.push_back(sign * (before.per_sample()[i] - after.per_sample()[i]));
  }
  return bootstrap_weighted_mean(drops, after.weights(), seed);
}

/// Of the value itself; nullopt for set-level metrics, whose drop alone is judged.
std::optional<Interval> value_interval(const Metric& metric, uint64_t seed) {
  const auto& values = metric.per_sample();
  if (values.empty() || metric.is_set_level()) return std::nullopt;
  if (is_binary(metric)) {
    const auto right = std::count(values.begin(), values.end(), 1.0);
    return wilson(right, static_cast<int64_t>(values.size()));
  }
  const Interval mean = bootstrap_weighted_mean(values, metric.weights(), seed);
  if (metric.traits().name == "perplexity") return Interval{std::exp(mean.lo), std::exp(mean.hi)};
  if (metric.traits().name == "sqnr_db")
    return Interval{-10 * std::log10(mean.hi), -10 * std::log10(mean.lo)};
  return mean;
}

Json number(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json pair(const std::optional<Interval>& interval) {
  return interval ? Json::array({number(interval->lo), number(interval->hi)}) : Json(nullptr);
}

}  // namespace

Comparison compare_quality(const Metric& before, const Metric& after, uint64_t seed) {
  if (before.per_sample().size() != after.per_sample().size() ||
      before.traits().name != after.traits().name) {
    throw InternalError("two metrics are compared that did not see the same samples");
  }
  Comparison result{.traits = after.traits(),
                    .samples = static_cast<int64_t>(after.per_sample().size())};
  result.before = before.value();
  result.after = after.value();
  result.drop = drop_between(before, after);
  result.after_ci95 = value_interval(after, seed);
  result.method = "no interval";
  if (result.samples == 0) return result;
  if (is_binary(before) && is_binary(after)) {
    compare_right_and_wrong(before, after, result);
    return result;
  }
  result.method = "bootstrap";
  result.ci95 = scaled(paired_bootstrap(before, after, seed), share_scale(after.traits()));
  return result;
}

Comparison compare_quality(const Metric& fidelity, uint64_t seed) {
  Comparison result{.traits = fidelity.traits(),
                    .samples = static_cast<int64_t>(fidelity.per_sample().size())};
  result.after = fidelity.value();
  result.after_ci95 = value_interval(fidelity, seed);
  result.method = is_binary(fidelity) ? "wilson" : result.after_ci95 ? "bootstrap" : "no interval";
  result.ci95 = result.after_ci95;
  if (fidelity.traits().unit == "dB")
    return result;  // the original against itself has infinite dB: there is no drop
  const double scale = share_scale(fidelity.traits());
  result.before = 1;
  result.drop = scale * (1 - result.after);
  if (result.ci95)
    result.ci95 = Interval{scale * (1 - result.ci95->hi), scale * (1 - result.ci95->lo)};
  return result;
}

Json to_json(const Comparison& comparison) {
  const MetricTraits& traits = comparison.traits;
  Json entry = {{"metric", traits.name},
                {"samples", comparison.samples},
                {"method", comparison.method},
                {"unit", traits.unit},
                {"higher_is_better", traits.higher_is_better},
                {"is_share", traits.is_share},
                {"is_fidelity", !traits.needs_labels}};
  entry["before"] = comparison.before ? number(*comparison.before) : Json(nullptr);
  entry["after"] = number(comparison.after);
  entry["drop"] = comparison.drop ? number(*comparison.drop) : Json(nullptr);
  entry["ci95"] = pair(comparison.ci95);
  entry["after_ci95"] = pair(comparison.after_ci95);
  entry["p_value"] = comparison.p_value ? number(*comparison.p_value) : Json(nullptr);
  return entry;
}

}  // namespace niwaki
