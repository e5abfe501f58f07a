#include "compress/cli/job.h"

#include "passes/quantize/quantize_static.h"

namespace niwaki {
namespace {

enum class Mode { automatic, static_, dynamic, weight_only, storage };
constexpr auto names(Mode) { return std::array{"auto", "static", "dynamic", "weight_only", "storage"}; }
enum class AnyGranularity { automatic, per_tensor, per_channel, per_block };
constexpr auto names(AnyGranularity) { return std::array{"auto", "per_tensor", "per_channel", "per_block"}; }
enum class Rounding { nearest };
constexpr auto names(Rounding) { return std::array{"nearest"}; }

struct QuantizeVerb {
  int bits = 8;
  Mode mode = Mode::automatic;
  AnyGranularity granularity = AnyGranularity::automatic;
  int block_size = 32;
  bool symmetric = false;
  RangeEstimator range_estimator = RangeEstimator::mse;
  double percentile = 99.99;
  Rounding rounding = Rounding::nearest;
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

Step static_step(const QuantizeVerb& verb, bool everywhere) {
  Json options = {{"bits", verb.bits}, {"range_estimator", names(RangeEstimator{})[static_cast<size_t>(verb.range_estimator)]},
                  {"percentile", verb.percentile}, {"symmetric", verb.symmetric}, {"placement", everywhere ? "all" : "auto"},
                  {"target", target_name(verb)}};
  if (verb.granularity == AnyGranularity::per_tensor) options["granularity"] = "per_tensor";
  return {"quantize_static", options};
}

/// Products and tables read integers in blocks; what they cannot read is stored.
std::vector<Step> weight_only(const QuantizeVerb& verb, const Json& options) {
  const bool is_blocked = verb.granularity == AnyGranularity::automatic || verb.granularity == AnyGranularity::per_block;
  if (!is_blocked) return {stored(verb)};
  Json settings = {{"bits", verb.bits}, {"target", target_name(verb)}};
  for (const char* name : {"block_size", "symmetric"}) {
    if (options.contains(name)) settings[name] = options[name];
  }
  return {{"quantize_weights", settings}, stored(verb)};
}

}  // namespace

std::vector<OptionText> quantize_options() { return options_text<QuantizeVerb>(); }

std::vector<Step> expand_verb(const std::string& verb, const Json& options, bool has_calibration, Strings* notes) {
  if (verb == "convert") return {};
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
      return {static_step(wanted, is_asked), stored(wanted)};
    case Mode::dynamic: return {{"quantize_dynamic", {{"target", target_name(wanted)}}}, stored(wanted)};
    case Mode::weight_only: return weight_only(wanted, options);
    default: return {stored(wanted)};
  }
}

}  // namespace niwaki
