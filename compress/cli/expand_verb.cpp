#include "compress/cli/job.h"

#include "passes/factorize/factorize_weights.h"
#include "passes/prune/prune_channels.h"
#include "passes/quantize/equalize_channels.h"
#include "passes/quantize/quantize_static.h"
#include "passes/train/distill.h"
#include "passes/train/finetune.h"

namespace niwaki {
namespace {

enum class Mode { automatic, static_, dynamic, weight_only, storage };
constexpr auto names(Mode) { return std::array{"auto", "static", "dynamic", "weight_only", "storage"}; }
enum class AnyGranularity { automatic, per_tensor, per_channel, per_block };
constexpr auto names(AnyGranularity) { return std::array{"auto", "per_tensor", "per_channel", "per_block"}; }
enum class Rounding { nearest };
constexpr auto names(Rounding) { return std::array{"nearest"}; }
enum class Equalize { automatic, on, off };
constexpr auto names(Equalize) { return std::array{"auto", "on", "off"}; }

constexpr double kQatLearningRate = 2e-4;

struct QuantizeVerb {
  int bits = 8;
  Mode mode = Mode::automatic;
  AnyGranularity granularity = AnyGranularity::automatic;
  int block_size = 32;
  bool symmetric = false;
  RangeEstimator range_estimator = RangeEstimator::mse;
  double percentile = 99.99;
  Rounding rounding = Rounding::nearest;
  Equalize equalize = Equalize::automatic;
  Target target = Target::onnxruntime_cpu;
  void validate() const {}
  static constexpr auto fields() {
    using O = QuantizeVerb;
    return std::tuple{
        field("bits", &O::bits, "stored integer width").between(4, 8),
        field("mode", &O::mode, "what is quantized: auto is static with calibration data, storage without"),
        field("granularity", &O::granularity, "weights that share one scale"),
        field("block_size", &O::block_size, "weights per scale of per_block").between(16, 256),
        field("symmetric", &O::symmetric, "activations on a grid that is symmetric around 0"),
        field("range_estimator", &O::range_estimator, "how the range of an activation is chosen"),
        field("percentile", &O::percentile, "share of numbers inside the range, of percentile").between(50, 100),
        field("rounding", &O::rounding, "how a weight becomes an integer"),
        field("equalize", &O::equalize, "scales between layers for mode static: auto is on where channels are far apart"),
        field("target", &O::target, "runtime that the model is for")};
  }
};

const char* target_name(const QuantizeVerb& verb) { return names(Target{})[static_cast<size_t>(verb.target)]; }

Step stored(const QuantizeVerb& verb) {
  Json options = {{"bits", verb.bits}, {"block_size", verb.block_size}};
  const bool is_default = verb.granularity == AnyGranularity::automatic;
  options["granularity"] = is_default ? (verb.bits < 8 ? "per_block" : "per_channel") : names(AnyGranularity{})[static_cast<size_t>(verb.granularity)];
  return {"store_weights", options};
}

/// Rows with scales of their own need equal ranges less.
Step equalizing_step(const QuantizeVerb& verb) {
  if (verb.equalize == Equalize::on) return {"equalize_channels", Json::object()};
  return {"equalize_channels", {{"least_spread", verb.granularity == AnyGranularity::per_tensor ? kUnevenPerTensor : kUnevenPerChannel}}};
}

Step static_step(const QuantizeVerb& verb, bool everywhere) {
  Json options = {{"bits", verb.bits}, {"range_estimator", names(RangeEstimator{})[static_cast<size_t>(verb.range_estimator)]},
                  {"percentile", verb.percentile}, {"symmetric", verb.symmetric}, {"placement", everywhere ? "all" : "auto"},
                  {"target", target_name(verb)}};
  if (verb.granularity == AnyGranularity::per_tensor) options["granularity"] = "per_tensor";
  return {"quantize_static", options};
}

/// Products and tables read integers in blocks; what they cannot read is stored.
std::vector<Step> weight_only(const QuantizeVerb& verb, const Json& options, bool encode) {
  if (!encode && verb.bits == 8) {
    Step plain = stored(verb);
    plain.options["plain"] = true;
    return {plain};
  }
  const bool is_blocked = verb.granularity == AnyGranularity::automatic || verb.granularity == AnyGranularity::per_block;
  if (!is_blocked) return {stored(verb)};
  Json settings = {{"bits", verb.bits}, {"target", target_name(verb)}};
  for (const char* name : {"block_size", "symmetric"}) {
    if (options.contains(name)) settings[name] = options[name];
  }
  return {{"quantize_weights", settings}, stored(verb)};
}

enum class Switch { on, off };
constexpr auto names(Switch) { return std::array{"on", "off"}; }
enum class AnyImportance { automatic, magnitude, wanda, sparse_gpt, obs, taylor };
constexpr auto names(AnyImportance) { return std::array{"auto", "magnitude", "wanda", "sparse_gpt", "obs", "taylor"}; }

struct PruneVerb {
  std::string pattern = "channels";
  std::optional<double> sparsity, macs_ratio, latency_ratio;
  AnyImportance importance = AnyImportance::automatic;
  std::optional<Switch> refit;               // on where there is calibration data
  int round_to = 0;
  void validate() const {}
  static constexpr auto fields() {
    using O = PruneVerb;
    return std::tuple{
        field("pattern", &O::pattern, "what goes: channels, blocks (residual blocks, transformer layers), unstructured (single weights), or N:M, which keeps N of every M inputs"),
        field("sparsity", &O::sparsity, "share of the weights that goes").between(0, 1),
        field("macs_ratio", &O::macs_ratio, "multiply-accumulates left, of the original's; channels and blocks only").between(0, 1),
        field("latency_ratio", &O::latency_ratio, "time of one run left, of the original's: by the target's cost table, then corrected by what was measured; channels only").between(0, 1),
        field("importance", &O::importance, "what a weight or a channel is worth"),
        field("refit", &O::refit, "repair what is left by least squares"),
        field("round_to", &O::round_to, "widths that are cut are multiples of it; 0: 8, or less where 8 cannot reach the target").between(0, 256)};
  }
};

/// "2:4" as {2, 4}; nothing for other words.
std::optional<std::pair<int, int>> kept_of(const std::string& pattern) {
  int kept = 0, of = 0;
  char rest = 0;
  if (std::sscanf(pattern.c_str(), "%d:%d%c", &kept, &of, &rest) != 2) return std::nullopt;
  if (kept < 1 || of < 2 || kept >= of) throw UsageError("E2013", cat("pattern '", pattern, "' keeps ", kept, " of every ", of), {.help = "write N:M with 0 < N < M, such as 2:4"});
  return std::pair{kept, of};
}

std::vector<Step> prune_channels_step(const PruneVerb& verb) {
  if (verb.importance == AnyImportance::wanda || verb.importance == AnyImportance::sparse_gpt) {
    throw UsageError("E2013", cat("importance '", names(verb.importance)[static_cast<size_t>(verb.importance)], "' is for single weights, not for channels"),
                     {.help = "use auto, magnitude, obs or taylor, or --pattern unstructured"});
  }
  Json options = {{"importance", names(verb.importance)[static_cast<size_t>(verb.importance)]}, {"refit", verb.refit != Switch::off}, {"round_to", verb.round_to}};
  if (verb.macs_ratio) options["macs_ratio"] = *verb.macs_ratio;
  if (verb.sparsity) options["sparsity"] = *verb.sparsity;
  if (verb.latency_ratio) options["latency_ratio"] = *verb.latency_ratio;
  return {{"prune_channels", options}};
}

std::vector<Step> prune_blocks_step(const PruneVerb& verb) {
  if (verb.importance != AnyImportance::automatic) {
    throw UsageError("E2013", cat("importance '", names(verb.importance)[static_cast<size_t>(verb.importance)], "' is not for blocks"),
                     {.help = "leave --importance out: a block is worth what its absence costs"});
  }
  if (verb.round_to != 0) throw UsageError("E2013", "blocks go whole: there are no widths to round", {.help = "leave --round-to out"});
  Json options = {{"refit", verb.refit != Switch::off}};
  if (verb.macs_ratio) options["macs_ratio"] = *verb.macs_ratio;
  if (verb.sparsity) options["sparsity"] = *verb.sparsity;
  return {{"prune_blocks", options}};
}

std::vector<Step> prune_weights_step(const PruneVerb& verb) {
  const auto kept = kept_of(verb.pattern);
  if (!kept && verb.pattern != "unstructured") {
    throw UsageError("E2013", cat("unknown pattern '", printable(verb.pattern), "'"), {.help = "use channels, blocks, unstructured or N:M, such as 2:4"});
  }
  if (verb.macs_ratio) throw UsageError("E2013", "single weights change no multiply-accumulates", {.help = "give --sparsity F, or use --pattern channels"});
  if (verb.importance == AnyImportance::obs || verb.importance == AnyImportance::taylor) {
    throw UsageError("E2013", cat("importance '", names(verb.importance)[static_cast<size_t>(verb.importance)], "' is for channels, not for single weights"),
                     {.help = "use auto, magnitude, wanda or sparse_gpt, or --pattern channels"});
  }
  const double implied = kept ? 1 - static_cast<double>(kept->first) / kept->second : verb.sparsity.value_or(0);
  if (!kept && !verb.sparsity) throw UsageError("E2017", "no target was given", {.help = "give --sparsity F"});
  if (verb.sparsity && std::abs(*verb.sparsity - implied) > 1e-9) {
    throw UsageError("E2013", cat("pattern ", verb.pattern, " has a sparsity of ", implied, ", not ", *verb.sparsity), {.help = "leave --sparsity out"});
  }
  Json options = {{"pattern", verb.pattern}, {"sparsity", implied}, {"importance", names(verb.importance)[static_cast<size_t>(verb.importance)]}};
  if (verb.refit) options["refit"] = *verb.refit == Switch::on;
  return {{"prune_weights", options}};
}

std::vector<Step> prune_steps(Json options) {
  // YAML reads on and off as true and false
  if (options.contains("refit") && options["refit"].is_boolean()) options["refit"] = options["refit"].get<bool>() ? "on" : "off";
  const PruneVerb verb = parse_options<PruneVerb>(options);
  if (verb.sparsity && *verb.sparsity <= 0) throw UsageError("E2008", cat("sparsity ", *verb.sparsity, " is not in (0, 1]"));
  if (verb.latency_ratio && verb.pattern != "channels") {
    throw UsageError("E2013", cat("pattern ", printable(verb.pattern), " has no latency_ratio"), {.help = "use --pattern channels, or another target"});
  }
  if (verb.pattern == "blocks") return prune_blocks_step(verb);
  return verb.pattern == "channels" ? prune_channels_step(verb) : prune_weights_step(verb);
}

/// Options of the verb factorize are those of its pass, with refit as a switch.
struct FactorizeVerb {
  std::optional<double> energy, macs_ratio, sparsity;
  std::optional<int> rank;
  FactorGoal goal = FactorGoal::smallest;
  std::optional<Switch> refit;               // on where there is calibration data
  int round_to = 0;
  void validate() const {}
  static constexpr auto fields() {
    using O = FactorizeVerb;
    return std::tuple{
        field("energy", &O::energy, "share of the energy of each node's outputs that stays").between(0, 1),
        field("rank", &O::rank, "rank of every node that it makes smaller").between(1, 1e6),
        field("macs_ratio", &O::macs_ratio, "multiply-accumulates left, of the original's").between(0, 1),
        field("sparsity", &O::sparsity, "share of the weights of linear nodes that goes").between(0, 1),
        field("goal", &O::goal, "fastest: only factors that ONNX Runtime runs faster than what they replace, as measured"),
        field("refit", &O::refit, "fit the last factors to the original's outputs by least squares"),
        field("round_to", &O::round_to, "ranks are multiples of it; 0: 8, or less where 8 cannot reach the target").between(0, 256)};
  }
};

std::vector<Step> factorize_steps(Json options) {
  if (options.contains("refit") && options["refit"].is_boolean()) options["refit"] = options["refit"].get<bool>() ? "on" : "off";
  const FactorizeVerb verb = parse_options<FactorizeVerb>(options);
  for (const auto& [name, value] : {std::pair{"energy", verb.energy}, std::pair{"sparsity", verb.sparsity}}) {
    if (value && *value <= 0) throw UsageError("E2008", cat(name, " ", *value, " is not in (0, 1]"));
  }
  Json step = options_json(verb);
  step.erase("refit");
  if (verb.refit) step["refit"] = *verb.refit == Switch::on;
  return {{"factorize_weights", step}};
}

/// Without calibration data there are no ranges: weights alone are quantized. Integers want smaller steps than floats.
std::vector<Step> training_step(const std::string& verb, Json options, bool has_calibration, Strings* notes) {
  if (!options.contains("qat") || options["qat"] != true) return {{verb, options}};
  const std::string mode = options.contains("mode") && options["mode"].is_string() ? options["mode"].get<std::string>() : "auto";
  if (mode == "static" && !has_calibration) throw UsageError("E2014", "--mode static needs calibration data", {.help = "give --calib DATA, or use --mode weight_only"});
  if (mode == "auto" && !has_calibration) {
    options["mode"] = "weight_only";
    if (notes) notes->push_back("N3003: no calibration data: mode auto became weight_only; with --calib, integer kernels are used where they pay");
  }
  if (!options.contains("lr")) options["lr"] = kQatLearningRate;
  return {{verb, options}};
}

}  // namespace

bool keeps_weights(const std::string& verb, const Json& options) {
  return verb == "prune" && options.contains("refit") && (options["refit"] == "off" || options["refit"] == false);
}

std::vector<OptionText> verb_options(const std::string& verb) {
  if (verb == "quantize") return options_text<QuantizeVerb>();
  if (verb == "prune") return options_text<PruneVerb>();
  if (verb == "distill" || verb == "finetune") return verb == "distill" ? options_text<DistillOptions>() : options_text<FinetuneOptions>();
  if (verb == "factorize") return options_text<FactorizeVerb>();
  return {};
}

std::vector<Step> expand_verb(const std::string& verb, const Json& options, bool has_calibration, Strings* notes, bool encode) {
  if (verb == "convert") return {};
  if (verb == "prune") return prune_steps(options);
  if (verb == "factorize") return factorize_steps(options);
  if (verb == "finetune" || verb == "distill") return training_step(verb, options, has_calibration, notes);
  if (verb != "quantize") return {{verb, options}};
  const QuantizeVerb wanted = parse_options<QuantizeVerb>(options);
  Mode mode = wanted.mode;
  if (mode == Mode::automatic) {
    mode = has_calibration ? Mode::static_ : Mode::storage;
    if (!has_calibration && notes) notes->push_back("N3003: no calibration data: mode auto became storage; with --calib, integer kernels are used where they pay");
  }
  const bool is_asked = wanted.mode == Mode::static_;
  switch (mode) {
    case Mode::static_:
      if (!has_calibration) throw UsageError("E2014", "--mode static needs calibration data", {.help = "give --calib DATA, or use --mode storage"});
      if (wanted.equalize == Equalize::off) return {static_step(wanted, is_asked), stored(wanted)};
      return {equalizing_step(wanted), static_step(wanted, is_asked), stored(wanted)};
    case Mode::dynamic: return {{"quantize_dynamic", {{"target", target_name(wanted)}}}, stored(wanted)};
    case Mode::weight_only: return weight_only(wanted, options, encode);
    default: return {stored(wanted)};
  }
}

}  // namespace niwaki
