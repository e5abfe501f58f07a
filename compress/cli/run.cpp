#include "compress/cli/command.h"
#include "compress/cli/terminal.h"
#include "compress/digest.h"
#include "compress/mapped_file.h"

#include <filesystem>

namespace niwaki {
namespace {

/// A recipe's values and the command line's, as one request; the command line wins.
class RecipeReader {
 public:
  RecipeReader(const CommandLine& line, const Recipe& recipe) : line_(line), recipe_(recipe) {}

  JobRequest request() {
    JobRequest request = job_request(line_);
    request.model = path("model.path");
    read_output(request);
    read_data(request);
    read_gates(request);
    text("target", "target", request.target);
    text("run.verify", "verify", request.verify);
    text("run.latency", "latency", request.latency);
    text("run.resume", "resume", request.resume);
    number("run.seed", "seed", request.seed);
    number("run.threads", "threads", request.threads);
    if (!line_.has("report-dir")) request.report_directory = path("report.dir");
    if (const Json& formats = recipe_.at("report.formats"); formats.is_array()) request.report_formats = formats.get<std::vector<std::string>>();
    read_steps(request);
    return request;
  }

 private:
  const Json* own(const std::string& key, const char* flag) const {
    const Json& value = recipe_.at(key);
    return value.is_null() || line_.has(flag) ? nullptr : &value;
  }
  void text(const std::string& key, const char* flag, std::string& target) const {
    if (const Json* value = own(key, flag)) target = value->is_string() ? value->get<std::string>() : value->dump();
  }
  void text(const std::string& key, const char* flag, std::optional<std::string>& target) const {
    if (const Json* value = own(key, flag)) target = value->is_string() ? value->get<std::string>() : value->dump();
  }
  template <typename T>
  void number(const std::string& key, const char* flag, T& target) const {
    const Json* value = own(key, flag);
    if (value == nullptr || !value->is_number_integer()) return;
    if (*value < 0) throw UsageError("E2008", cat("'", key, "' is ", value->dump(), "; needed 0 or more"), {.where = recipe_.place(key)});
    target = value->get<T>();
  }
  /// Paths are relative to the recipe.
  std::string path(const std::string& key) const {
    const Json& value = recipe_.at(key);
    if (!value.is_string() || value.get<std::string>().empty()) return "";
    return (std::filesystem::path(recipe_.path).parent_path() / value.get<std::string>()).string();
  }

  void read_output(JobRequest& request) const {
    if (!line_.has("output")) request.output = path("output.path");
    if (request.output.empty()) throw UsageError("E2005", "the recipe has no 'output.path'", {.where = recipe_.path, .help = "add `output: {path: small.onnx}`, or pass -o"});
    text("output.external_data", "external-data", request.external_data);
    number("output.opset", "opset", request.opset);
    const auto is = [&](const char* key, const char* value) { return recipe_.at(key) == value; };
    if (own("output.encode", "encode")) request.encode = !is("output.encode", "off");
    if (own("output.names", "names")) request.short_names = is("output.names", "short");
    if (is("output.cleanup", "none")) request.clean = request.encode = false;
  }

  void read_data(JobRequest& request) const {
    request.calibration.path = path("data.calibration.path");
    number("data.calibration.samples", "samples", request.calibration.samples);
    if (!line_.has("data")) request.evaluation.path = path("data.evaluation.path");
    number("data.evaluation.samples", "", request.evaluation.samples);
    text("data.evaluation.metric", "metric", request.metric);
    request.training.path = path("data.train.path");
    number("data.train.samples", "", request.training.samples);
    read_form("data.train", request.training);
    read_form("data.calibration", request.calibration);
    read_form("data.evaluation", request.evaluation);
    number("data.batch", "batch", request.batch);
    if (const Json& inputs = recipe_.at("data.inputs"); inputs.is_object()) {
      for (const auto& [name, value] : inputs.items()) request.fixed_inputs.emplace(name, value.is_string() ? value.get<std::string>() : value.dump());
    }
  }

  /// `preprocess:` and `csv:` of one kind of data.
  void read_form(const std::string& key, DataRequest& data) const {
    const std::string preprocess = key + ".preprocess", csv = key + ".csv";
    if (const Json* block = own(preprocess, "preprocess")) data.preprocess = parse_preprocess(*block, recipe_.place(preprocess));
    if (const Json* block = own(csv, "csv")) data.csv = parse_csv_options(*block, recipe_.place(csv));
  }

  void read_gates(JobRequest& request) const {
    text("gates.size.max", "max-size", request.max_size);
    text("gates.quality.metric", "metric", request.metric);
    text("gates.quality.max_drop", "max-drop", request.max_drop);
    text("gates.latency.max_ratio", "max-latency-ratio", request.max_latency_ratio);
  }

  void read_steps(JobRequest& request) const {
    bool is_first = true;
    for (const RecipeStep& step : recipe_.steps) {
      try {
        add_step(request, step, is_first);
      } catch (Error& error) {
        error.within(step.place);
        throw;
      }
      is_first = false;
    }
  }

  /// Patterns count for the whole run: steps that differ in them are refused rather than misread.
  void add_step(JobRequest& request, const RecipeStep& step, bool is_first) const {
    Json options = step.options;
    for (const char* which : {"keep", "only"}) {
      const Json given = options.value(which, Json::array());
      options.erase(which);
      const auto patterns = given.is_string() ? std::vector<std::string>{given.get<std::string>()} : given.get<std::vector<std::string>>();
      std::vector<std::string>& all = which == std::string("keep") ? request.keep : request.only;
      if (!is_first && patterns != all) throw UsageError("E2002", cat("steps with different '", which, "' are not in this version"), {.help = cat("give all steps the same '", which, "'")});
      all = patterns;
    }
    if (step.name == "distill") take_teacher(request, options);
    const bool is_quantizing = step.name == "quantize" || (options.contains("qat") && options["qat"] == true);
    if (is_quantizing && !options.contains("target")) options["target"] = request.target;
    request.keep_weights |= keeps_weights(step.name, options);
    for (const Step& pass : expand_verb(step.name, options, !request.calibration.path.empty(), nullptr, request.encode)) request.steps.push_back(pass);
  }

  /// One teacher serves the whole run.
  void take_teacher(JobRequest& request, Json& options) const {
    const std::string named = options.value("teacher", "original");
    options.erase("teacher");
    const std::string path = named == "original" ? "" : (std::filesystem::path(recipe_.path).parent_path() / named).string();
    if (has_teacher_ && path != request.teacher) throw UsageError("E2002", "steps with different teachers are not in this version", {.help = "give all of them the same teacher"});
    request.teacher = path;
    has_teacher_ = true;
  }

  const CommandLine& line_;
  const Recipe& recipe_;
  mutable bool has_teacher_ = false;
};

void check_hash(const Recipe& recipe, const std::string& model) {
  const Json& wanted = recipe.at("model.sha256");
  if (!wanted.is_string()) return;
  const std::string found = sha256(MappedFile::open(model)->bytes());
  if (found == wanted.get<std::string>()) return;
  throw ModelError("E1902", "the model is not the one that the recipe names", {.where = recipe.place("model.sha256"), .found = cat("found sha256 ", found, "; needed ", printable(wanted.get<std::string>())), .help = "get the right file, or correct model.sha256"});
}

/// Every value with the place that it came from.
void list_values(const Json& value, const std::string& path, const Recipe& recipe, Json& rows) {
  if (value.is_object() && !value.empty()) {
    for (const auto& [key, child] : value.items()) list_values(child, path.empty() ? key : path + "." + key, recipe, rows);
  } else if (value.is_array() && path == "steps") {
    for (size_t i = 0; i < value.size(); ++i) list_values(value[i], cat(path, ".", i), recipe, rows);
  } else {
    rows.push_back({{"key", path}, {"value", value}, {"from", recipe.places.count(path) && recipe.place(path) == "--set" ? "--set" : cat("recipe ", recipe.place(path))}});
  }
}

Json config_rows(const Recipe& recipe, const KnownSteps& known, const CommandLine& line, const JobRequest& request) {
  Json rows = Json::array();
  list_values(recipe.document, "", recipe, rows);
  for (size_t i = 0; i < recipe.steps.size(); ++i) {
    for (const OptionText& option : known.at(recipe.steps[i].name)) {
      if (recipe.steps[i].options.contains(option.name) || option.otherwise.empty()) continue;
      rows.push_back({{"key", cat("steps.", i, ".", recipe.steps[i].name, ".", option.name)}, {"value", Json::parse(option.otherwise)}, {"from", "default"}});
    }
  }
  const auto add = [&](const char* key, const char* flag, const Json& value) {
    if (line.has(flag)) rows.push_back({{"key", key}, {"value", value}, {"from", cat("flag --", flag)}});
    else if (recipe.at(key).is_null()) rows.push_back({{"key", key}, {"value", value}, {"from", "default"}});
  };
  add("target", "target", request.target);
  add("run.seed", "seed", request.seed);
  add("run.threads", "threads", request.threads);
  add("run.verify", "verify", request.verify);
  add("run.latency", "latency", request.latency);
  add("output.encode", "encode", request.encode ? "auto" : "off");
  add("output.names", "names", request.short_names ? "short" : "keep");
  add("data.batch", "batch", request.batch);
  return rows;
}

}  // namespace

int run_recipe_command(const CommandLine& line, Terminal& terminal) {
  const KnownSteps known = known_steps();
  const Recipe recipe = read_recipe(line.arguments[0], known, pairs_of(line, "set"));
  const JobRequest request = RecipeReader(line, recipe).request();
  if (line.has("print-config")) {
    const Json rows = config_rows(recipe, known, line, request);
    for (const Json& row : rows) terminal.print(cat(row["key"].get<std::string>(), ": ", printable(row["value"].dump()), "   # ", printable(row["from"].get<std::string>()), "\n"));
    terminal.print_json(rows);
    return 0;
  }
  check_hash(recipe, request.model);
  return show_job(request, line, terminal);
}

}  // namespace niwaki
