#include "compress/gate.h"

#include "compress/error.h"
#include "compress/report/numbers.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>
#include <vector>

namespace niwaki {
namespace {

/// One limit with what was measured; `value` is absent where it could not be.
struct Gate {
  std::string name, unit;
  std::optional<double> value;
  double limit = 0;
  std::optional<Interval> interval;
  bool is_informational = false;
  bool is_minimum = false;                  // value >= limit is wanted
  std::string code, missed, unclear, help;  // the message, by outcome
  Verdict verdict = Verdict::inconclusive;
};

struct Amount {
  double number = 0;
  std::string unit;
};

[[noreturn]] void refuse(const std::string& text, const std::string& found,
                         const std::string& help) {
  throw UsageError("E2012", "'" + printable(text) + "' " + found, {.help = help});
}

Amount parse_amount(const std::string& text, const std::string& help) {
  size_t used = 0;
  double number = 0;
  try {
    number = std::stod(text, &used);
  } catch (const std::exception&) {
    refuse(text, "is no number", help);
  }
  if (!std::isfinite(number) || number < 0) refuse(text, "is not a number of at least 0", help);
  std::string unit = text.substr(used);
  unit.erase(0, unit.find_first_not_of(' ') == std::string::npos ? unit.size()
                                                                 : unit.find_first_not_of(' '));
  return {number, unit};
}

Gate maximum(std::string name, double value, double limit, std::string unit,
             bool is_informational) {
  Gate gate{.name = std::move(name), .unit = std::move(unit), .value = value, .limit = limit};
  gate.interval = Interval{value, value};  // bytes are exact
  gate.is_informational = is_informational;
  return gate;
}

double number_at(const Json& report, const char* part, const char* key) {
  return report.value(part, Json::object()).value(key, 0.0);
}

void add_size_gates(const Json& report, const GateLimits& limits, std::vector<Gate>& gates) {
  const double before = number_at(report, "before", "file_bytes"),
               after = number_at(report, "after", "file_bytes");
  const auto missed = [&](double limit) {
    return "size missed: " + size_text(after) + " (" + grouped(after) + " bytes), limit " +
           size_text(limit) + " (" + grouped(limit) + " bytes)";
  };
  const auto add = [&](const char* name, double value, double limit, const char* unit,
                       double limit_bytes) {
    Gate gate = maximum(name, value, limit, unit, limits.size_informational);
    gate.code = "E6001";
    gate.missed = missed(limit_bytes);
    gate.help = "use fewer bits or a stronger pruning, or raise the limit to " + size_text(after);
    gates.push_back(gate);
  };
  if (limits.max_bytes)
    add("size", after, static_cast<double>(*limits.max_bytes), "B",
        static_cast<double>(*limits.max_bytes));
  if (limits.max_size_ratio && before > 0) {
    add("size_ratio", after / before, *limits.max_size_ratio, "x", *limits.max_size_ratio * before);
  }
  if (limits.max_growth && limits.baseline_bytes) {
    const double base = static_cast<double>(*limits.baseline_bytes);
    add("size_growth", after / base - 1, *limits.max_growth, "", (1 + *limits.max_growth) * base);
  }
  if (limits.allow_growth || before <= 0 || after <= before) return;
  Gate gate = maximum("not_larger", after, before, "B", false);
  gate.code = "E6005";
  gate.missed = "the result is larger than the original: " + size_text(after) + " (" +
                grouped(after) + " bytes), " + size_text(before) + " (" + grouped(before) +
                " bytes) before";
  gate.help = "keep the original, or accept the growth with --allow-growth";
  gates.push_back(gate);
}

const Json* quality_entry(const Json& report, const std::string& metric) {
  const auto all = report.find("quality");
  if (all == report.end() || !all->is_array()) return nullptr;
  const Json* best = nullptr;
  for (const Json& entry : *all) {
    if (!metric.empty() && entry.value("metric", "") != metric) continue;
    // the half of the data that steered a search does not give the verdict where another half does
    if (best == nullptr || entry.value("role", "") == "confirm") best = &entry;
  }
  return best;
}

std::optional<double> number(const Json& entry, const char* key) {
  const auto found = entry.find(key);
  if (found == entry.end() || !found->is_number()) return std::nullopt;
  return found->get<double>();
}

std::optional<Interval> interval_at(const Json& entry, const char* key) {
  const auto found = entry.find(key);
  if (found == entry.end() || !found->is_array() || found->size() != 2 || !(*found)[0].is_number())
    return std::nullopt;
  const double infinity = std::numeric_limits<double>::infinity();
  return Interval{(*found)[0].get<double>(),
                  (*found)[1].is_number() ? (*found)[1].get<double>() : infinity};
}

/// How many samples would probably decide: the half-width shrinks with the square root. 0 where no
/// number would.
double deciding_samples(const Gate& gate, double samples) {
  if (!gate.value || !gate.interval || samples <= 0) return 0;
  const double margin = std::abs(*gate.value - gate.limit);
  const double half =
      *gate.value > gate.limit ? *gate.value - gate.interval->lo : gate.interval->hi - *gate.value;
  if (margin <= 0 || half <= margin) return 0;
  const double needed = samples * half * half / (margin * margin);
  const double step = std::pow(10, std::floor(std::log10(needed)) - 1);
  return std::ceil(needed / step) * step;
}

std::string interval_text(const std::optional<Interval>& interval, double scale = 1) {
  if (!interval) return " (no interval)";
  return " [" + fixed(scale * interval->lo, 2) + ", " + fixed(scale * interval->hi, 2) + "]";
}

std::string more_samples(const Gate& gate, double samples, const std::string& what) {
  const double needed = deciding_samples(gate, samples);
  return needed > 0 ? "about " + grouped(needed) + " " + what +
                          " would decide, or accept with --on-inconclusive warn"
                    : "measure on more " + what + ", or accept with --on-inconclusive warn";
}

void describe_drop(const Json& report, const Json& entry, const Drop& drop, Gate& gate) {
  const std::string metric = printable(entry.value("metric", "")),
                    unit = gate.unit.empty() ? "" : " " + gate.unit;
  const double samples = entry.value("samples", 0.0);
  const std::string measured = fixed(*gate.value, 2) + unit + interval_text(gate.interval) +
                               " of " + metric + ", limit " + drop.text();
  const size_t trials = report.value("trials", Json::array()).size();
  gate.code = "E6002";
  gate.missed = cat("quality missed: ", trials > 1 ? "best " : "", "drop ", measured);
  gate.unclear = "quality is inconclusive: drop " + measured + ", " + grouped(samples) + " samples";
  gate.help = "keep sensitive nodes with --keep, or raise --max-drop to " +
              fixed(std::ceil(10 * (gate.interval ? gate.interval->hi : *gate.value)) / 10, 1) +
              gate.unit;
  if (judge(*gate.value, gate.interval, gate.limit) == Verdict::inconclusive)
    gate.help = more_samples(gate, samples, "samples");
}

void add_drop_gate(const Json& report, const GateLimits& limits, const Json& entry,
                   std::vector<Gate>& gates) {
  const Drop drop = parse_drop(*limits.max_drop, entry.value("metric", ""));
  const std::optional<double> lost = number(entry, "drop"), before = number(entry, "before");
  Gate gate{.name = "quality:" + entry.value("metric", ""),
            .unit = entry.value("unit", ""),
            .value = lost};
  gate.is_informational = limits.quality_informational;
  gate.interval = interval_at(entry, "ci95");
  gate.limit = drop.amount;
  if (drop.is_relative) {
    if (!before) gate.value.reset();
    gate.limit = drop.amount / 100 * std::abs(before.value_or(0)) *
                 (entry.value("is_share", false) ? 100 : 1);
  }
  if (gate.value) describe_drop(report, entry, drop, gate);
  gates.push_back(gate);
}

void add_minimum_gate(const GateLimits& limits, const Json& entry, std::vector<Gate>& gates) {
  Gate gate{.name = "quality:" + entry.value("metric", ""),
            .unit = entry.value("unit", ""),
            .value = number(entry, "after")};
  const bool is_share = entry.value("is_share", false);
  const double scale = is_share ? 100 : 1;
  gate.is_minimum = true;
  gate.is_informational = limits.quality_informational;
  gate.limit = *limits.min_quality;
  gate.interval = interval_at(entry, "after_ci95");
  // an exact copy has no finite dB value: nothing was lost
  if (!gate.value && entry.value("unit", "") == "dB")
    gate.value = std::numeric_limits<double>::infinity();
  if (gate.value && std::isinf(*gate.value)) gate.interval.reset();
  if (is_share) gate.unit = "%";
  const std::string unit = gate.unit.empty() ? "" : " " + gate.unit;
  if (gate.value) {
    const std::string measured = printable(entry.value("metric", "")) + " " +
                                 fixed(scale * *gate.value, 2) + unit +
                                 interval_text(gate.interval, scale) + ", limit at least " +
                                 fixed(scale * gate.limit, 2) + unit;
    gate.code = "E6002";
    gate.missed = "quality missed: " + measured;
    gate.unclear = "quality is inconclusive: " + measured + ", " +
                   grouped(entry.value("samples", 0.0)) + " samples";
    gate.help = "keep sensitive nodes with --keep, use more bits, or lower the limit";
  }
  gates.push_back(gate);
}

void add_quality_gate(const Json& report, const GateLimits& limits, std::vector<Gate>& gates) {
  if (!limits.max_drop && !limits.min_quality) return;
  const Json* entry = quality_entry(report, limits.metric);
  if (entry == nullptr) {
    Gate gate{.name = limits.metric.empty() ? "quality" : "quality:" + limits.metric};
    gate.is_informational = limits.quality_informational;
    gate.limit = limits.min_quality.value_or(0);
    gates.push_back(gate);
    return;
  }
  if (limits.max_drop) add_drop_gate(report, limits, *entry, gates);
  if (limits.min_quality) add_minimum_gate(limits, *entry, gates);
}

void add_latency_gate(const Json& report, const GateLimits& limits, std::vector<Gate>& gates) {
  if (!limits.max_latency_ratio) return;
  const Json latency = report.contains("latency") && report["latency"].is_object()
                           ? report["latency"]
                           : Json::object();
  Gate gate{.name = "latency",
            .unit = "x",
            .value = number(latency, "ratio"),
            .limit = *limits.max_latency_ratio};
  gate.interval = interval_at(latency, "ci95");
  gate.is_informational = limits.latency_informational;
  if (gate.value) {
    const std::string measured = fixed(*gate.value, 2) + "x" + interval_text(gate.interval) +
                                 " of the original's, limit " + plain(gate.limit) + "x";
    gate.code = "E6003";
    gate.missed = "latency missed: " + measured;
    gate.unclear = "latency is inconclusive: " + measured + ", " +
                   grouped(latency.value("pairs", 0.0)) + " runs";
    gate.help =
        "prune whole channels, which makes every runtime faster, or raise --max-latency-ratio";
    if (judge(*gate.value, gate.interval, gate.limit) == Verdict::inconclusive)
      gate.help = more_samples(gate, latency.value("pairs", 0.0), "runs");
  }
  gates.push_back(gate);
}

Verdict verdict_of(const Gate& gate) {
  if (!gate.value) return Verdict::inconclusive;
  if (!gate.is_minimum) return judge(*gate.value, gate.interval, gate.limit);
  std::optional<Interval> turned;
  if (gate.interval) turned = Interval{-gate.interval->hi, -gate.interval->lo};
  return judge(-*gate.value, turned, -gate.limit);
}

Json finite(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json to_json(const Gate& gate, const GateLimits& limits) {
  Json entry = {{"name", gate.name},
                {"limit", finite(gate.limit)},
                {"verdict", name_of(gate.verdict)},
                {"informational", gate.is_informational},
                {"unit", gate.unit},
                {"measured", gate.value.has_value()},
                {"is_minimum", gate.is_minimum}};
  entry["value"] = gate.value ? finite(*gate.value) : Json(nullptr);
  entry["ci95"] = gate.interval
                      ? Json::array({finite(gate.interval->lo), finite(gate.interval->hi)})
                      : Json(nullptr);
  entry["accepted"] =
      gate.verdict == Verdict::inconclusive && gate.value && limits.accept_inconclusive;
  if (gate.verdict == Verdict::fail) entry["message"] = gate.missed;
  if (gate.verdict == Verdict::inconclusive)
    entry["message"] = gate.value ? gate.unclear : gate.name + " could not be measured";
  return entry;
}

Json message(const Gate& gate, const GateLimits& limits) {
  const bool is_missed = gate.verdict == Verdict::fail;
  const bool is_soft = gate.is_informational || (!is_missed && limits.accept_inconclusive);
  Json entry = {{"code", is_missed ? gate.code : "E6004"},
                {"level", is_soft ? "warning" : "error"}};
  entry["message"] = is_missed ? gate.missed
                     : gate.value
                         ? gate.unclear
                         : "'" + printable(gate.name) + "' is gated and could not be measured";
  entry["help"] =
      gate.value ? gate.help : "give --data with labels, or install onnxruntime for latency";
  return entry;
}

void drop_old_messages(Json& report) {
  Json kept = Json::array();
  for (const Json& entry : report.value("messages", Json::array())) {
    if (!entry.value("code", "").starts_with("E600")) kept.push_back(entry);
  }
  report["messages"] = kept;
}

void require_known_keys(const Json& block, const std::string& name,
                        const std::set<std::string>& known) {
  for (const auto& [key, value] : block.items()) {
    if (known.count(key)) continue;
    const std::string near = nearest(key, known);
    throw UsageError("E2004", "unknown key '" + printable(key) + "' in " + name,
                     {.found = near.empty() ? "" : "did you mean '" + near + "'?"});
  }
}

std::string text_of(const Json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

}  // namespace

std::string name_of(Verdict verdict) {
  return verdict == Verdict::pass ? "pass" : verdict == Verdict::fail ? "fail" : "inconclusive";
}

std::string Drop::text() const {
  return plain(amount) + (is_relative ? " %" : unit.empty() ? "" : " " + unit);
}

Drop parse_drop(const std::string& text, const std::string& metric) {
  const std::string unit = metric_traits(metric).unit;
  const std::string help = unit.empty()
                               ? "write a number, or 1% (of the original value)"
                               : "write 1" + unit + " (absolute) or 1% (of the original value)";
  const Amount amount = parse_amount(text, help);
  if (amount.unit == "%") return {amount.number, unit, true};
  if (amount.unit == unit) return {amount.number, unit, false};
  if (amount.unit.empty() && unit == "pt")
    refuse(text, "has no unit, and " + metric + " is measured in points", help);
  if (amount.unit.empty()) return {amount.number, unit, false};
  refuse(text, "has the unit '" + printable(amount.unit) + "', which " + metric + " has not", help);
}

int64_t parse_size(const std::string& text) {
  const std::string help = "write bytes, or a number with KB, MB or GB (1 MB = 1,000,000 bytes)";
  Amount amount = parse_amount(text, help);
  for (char& letter : amount.unit)
    letter = static_cast<char>(letter >= 'a' && letter <= 'z' ? letter - 32 : letter);
  for (const auto& [unit, factor] :
       {std::pair{"", 1.0}, {"B", 1.0}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}}) {
    const double bytes = amount.number * factor;
    if (amount.unit == unit && bytes < 9e18) return static_cast<int64_t>(std::llround(bytes));
  }
  refuse(text, "is no size", help);
}

double parse_share(const std::string& text) {
  const std::string help = "write 2% or 0.02";
  const Amount amount = parse_amount(text, help);
  if (amount.unit == "%") return amount.number / 100;
  if (!amount.unit.empty()) refuse(text, "is no share", help);
  return amount.number;
}

Verdict judge(double value, const std::optional<Interval>& interval, double limit) {
  const Interval judged = interval.value_or(Interval{value, value});
  if (judged.hi <= limit) return Verdict::pass;
  return judged.lo > limit ? Verdict::fail : Verdict::inconclusive;
}

GateLimits parse_limits(const Json& gates) {
  require_known_keys(gates, "gates", {"size", "quality", "latency", "baseline"});
  const Json size = gates.value("size", Json::object()),
             quality = gates.value("quality", Json::object());
  const Json latency = gates.value("latency", Json::object());
  require_known_keys(size, "gates.size", {"max", "max_ratio", "max_growth", "informational"});
  require_known_keys(quality, "gates.quality", {"metric", "max_drop", "min", "informational"});
  require_known_keys(latency, "gates.latency", {"max_ratio", "informational"});
  GateLimits limits;
  if (size.contains("max")) limits.max_bytes = parse_size(text_of(size["max"]));
  if (size.contains("max_ratio")) limits.max_size_ratio = parse_share(text_of(size["max_ratio"]));
  if (size.contains("max_growth")) limits.max_growth = parse_share(text_of(size["max_growth"]));
  limits.metric = quality.value("metric", "");
  if (quality.contains("max_drop")) limits.max_drop = text_of(quality["max_drop"]);
  if (limits.max_drop && !limits.metric.empty()) parse_drop(*limits.max_drop, limits.metric);
  if (quality.contains("min")) limits.min_quality = parse_share(text_of(quality["min"]));
  if (latency.contains("max_ratio"))
    limits.max_latency_ratio = parse_share(text_of(latency["max_ratio"]));
  limits.size_informational = size.value("informational", false);
  limits.quality_informational = quality.value("informational", false);
  limits.latency_informational = latency.value("informational", false);
  return limits;
}

int apply_gates(Json& report, const GateLimits& limits) {
  std::vector<Gate> gates;
  add_size_gates(report, limits, gates);
  add_quality_gate(report, limits, gates);
  add_latency_gate(report, limits, gates);
  drop_old_messages(report);
  report["gates"] = Json::array();
  bool is_failed = false, is_unclear = false;
  for (Gate& gate : gates) {
    gate.verdict = verdict_of(gate);
    report["gates"].push_back(to_json(gate, limits));
    if (gate.verdict == Verdict::pass) continue;
    report["messages"].push_back(message(gate, limits));
    if (gate.is_informational) continue;
    if (gate.verdict == Verdict::fail) is_failed = true;
    // --on-inconclusive warn accepts what was measured and is unclear, not what was never measured
    if (gate.verdict == Verdict::inconclusive && !(gate.value && limits.accept_inconclusive))
      is_unclear = true;
  }
  report["verdict"] = gates.empty() ? "not_gated"
                      : is_failed   ? "fail"
                      : is_unclear  ? "inconclusive"
                                    : "pass";
  const bool is_missed = is_failed || is_unclear;
  const std::string status = report.value("status", "ok");
  if (status == "ok" || status == "missed") report["status"] = is_missed ? "missed" : "ok";
  return is_missed ? 1 : 0;
}

}  // namespace niwaki
