#include "compress/cli/command.h"
#include "compress/cli/terminal.h"
#include "compress/gate.h"
#include "compress/report/terminal_table.h"

#include <filesystem>

namespace niwaki {
namespace {

/// The words of the command line; of absolute paths the last part only, so that equal runs read alike.
std::string command_text(const CommandLine& line) {
  std::string text = "niwaki";
  for (const std::string& word : line.words) {
    const bool is_path = word.starts_with("/") && word.find('/', 1) != std::string::npos;
    text += " " + (is_path ? std::filesystem::path(word).filename().string() : word);
  }
  return text;
}

std::optional<std::string> maybe(const CommandLine& line, const std::string& flag) {
  return line.has(flag) ? std::optional(line.text(flag)) : std::nullopt;
}

/// A flag's text as the option's type wants it.
Json option_value(const OptionText& option, const std::string& text) {
  if (option.type == "int") return std::stoll(text);
  if (option.type == "number") {
    char* end = nullptr;
    const double value = std::strtod(text.c_str(), &end);
    if (text.empty() || *end != 0) throw UsageError("E2001", cat("option '", option.name, "' got '", printable(text), "'"), {.found = "needed a number"});
    return value;
  }
  if (option.type == "bool") return text == "true";
  return text;
}

/// The options of the verb that were given, under the names of its table.
Json given_options(const CommandLine& line) {
  Json options = Json::object();
  for (const OptionText& option : verb_options(line.verb)) {
    std::string flag = option.name;
    std::replace(flag.begin(), flag.end(), '_', '-');
    if (option.name == "symmetric") {
      if (line.has("symmetric") || line.has("asymmetric")) options["symmetric"] = line.has("symmetric");
    } else if (line.has(flag) && line.text(flag) != "auto") {
      options[option.name] = option.type == "bool" ? Json(true) : option_value(option, line.text(flag));
    }
  }
  for (const char* flag : {"bits", "mode", "granularity", "block-size", "range-estimator", "percentile", "rounding", "mixed"}) {
    std::string name = flag;
    std::replace(name.begin(), name.end(), '-', '_');
    if (line.has(flag) && !options.contains(name)) throw UsageError("E2002", cat("flag '--", flag, "' is not in this version"), {.help = "`niwaki quantize --help` lists the flags"});
  }
  return options;
}

/// A limit on the latency alone says how much channels may be pruned.
void take_latency_target(const CommandLine& line, Json& options) {
  const bool has_target = options.contains("sparsity") || options.contains("macs_ratio") || options.contains("latency_ratio");
  if (line.verb == "prune" && !has_target && line.has("max-latency-ratio") && options.value("pattern", "channels") == "channels") {
    options["latency_ratio"] = parse_share(line.text("max-latency-ratio"));
  }
}

/// Limits are read before any work, so that a wrong one costs nothing.
void check_limits(const JobRequest& request) {
  if (request.max_size) parse_size(*request.max_size);
  if (request.max_drop) parse_drop(*request.max_drop, request.metric.empty() ? "top1" : request.metric);
}

}  // namespace

void read_data_flags(const CommandLine& line, JobRequest& request) {
  const std::string file = line.text("preprocess"), csv = line.text("csv");
  const bool has_data = line.verb == "run" || line.has("calib") || line.has("data") || line.has("train");
  if (!has_data && !(file.empty() && csv.empty())) {
    throw UsageError("E2001", cat("flag '--", file.empty() ? "csv" : "preprocess", "' is about data, and none is given"), {.help = "give --data DATA or --calib DATA"});
  }
  for (DataRequest* data : {&request.calibration, &request.evaluation, &request.training}) {
    if (!file.empty()) data->preprocess = read_preprocess(file, request.read.limits);
    if (!csv.empty()) data->csv = parse_csv_options(csv_block_of(csv), "--csv");
  }
}

JobRequest job_request(const CommandLine& line) {
  JobRequest request;
  request.program = line.program;
  request.command_line = command_text(line);
  request.model = line.arguments.empty() ? "" : line.arguments[0];
  request.output = line.text("output");
  request.calibration = {.path = line.text("calib"), .samples = line.integer("samples", 512)};
  request.evaluation = {.path = line.text("data"), .samples = 0};
  request.training = {.path = line.text("train"), .samples = 0};
  request.teacher = line.text("teacher");
  // where models are trained, --batch is an option of theirs
  if (line.verb != "finetune" && line.verb != "distill") request.batch = line.integer("batch", request.batch);
  request.fixed_inputs = pairs_of(line, "input");
  request.metric = line.text("metric");
  request.output_name = line.text("output-name");
  request.keep = line.list("keep");
  request.only = line.list("only");
  request.max_drop = maybe(line, "max-drop");
  request.max_size = maybe(line, "max-size");
  request.max_latency_ratio = maybe(line, "max-latency-ratio");
  request.require_gain = line.has("require-gain");
  request.allow_growth = line.has("allow-growth");
  request.accept_inconclusive = line.text("on-inconclusive") == "warn";
  request.verify = line.text("verify", "auto");
  request.latency = line.text("latency", "auto");
  request.external_data = line.text("external-data", "auto");
  request.opset = line.integer("opset", 0);
  request.encode = line.text("encode", "auto") == "auto";
  request.short_names = line.text("names") == "short";
  request.report_directory = line.text("report-dir");
  request.force = line.has("force");
  request.make_directories = line.has("mkdir");
  request.dry_run = line.has("dry-run");
  request.threads = static_cast<int>(line.integer("threads", 0));
  request.seed = static_cast<uint64_t>(line.integer("seed", 0));
  request.target = line.text("target", "onnxruntime-cpu");
  request.dump_directory = line.text("dump-dir");
  request.stop_after = line.text("stop-after");
  request.skip = line.list("skip");
  request.read = read_options(line);
  request.work_directory = line.text("work-dir", ".niwaki");
  request.resume = line.text("resume", "auto");
  request.words = line.words;
  request.group = line.group;
  read_data_flags(line, request);
  if (line.verb != "eval" && line.list("metric").size() > 1) throw UsageError("E2001", "one --metric decides; found several", {.help = "`niwaki eval` measures several at once"});
  if (request.batch < 1) throw UsageError("E2001", "flag '--batch' got '0'", {.found = "needed 1 or more"});
  check_limits(request);
  return request;
}

int show_job(const JobRequest& request, const CommandLine& line, Terminal& terminal) {
  terminal.header(request.target, request.seed);
  const JobResult result = run_job(request, terminal.events());
  terminal.end_progress();
  if (terminal.is_json()) {
    terminal.print_json(result.report);
  } else if (!request.dry_run) {
    terminal.print("\n" + terminal_table(result.report, terminal.columns(), terminal.is_unicode(), terminal.is_colored()));
  }
  if (!result.report.contains("messages")) return result.exit_code;
  for (const Json& message : result.report["messages"]) terminal.tell_message(message);
  return result.exit_code;
}

int convert_command(const CommandLine& line, Terminal& terminal) {
  JobRequest request = job_request(line);
  request.clean = line.text("cleanup", "exact") == "exact";
  request.encode = request.encode && request.clean;
  request.must_shrink = false;
  request.write_report = line.has("report-dir");
  return show_job(request, line, terminal);
}

int verb_command(const CommandLine& line, Terminal& terminal) {
  JobRequest request = job_request(line);
  request.must_shrink = line.verb == "quantize";
  Strings notes;
  Json options = given_options(line);
  take_latency_target(line, options);
  request.steps = expand_verb(line.verb, options, !request.calibration.path.empty(), &notes, request.encode);
  request.keep_weights = keeps_weights(line.verb, options);
  for (const std::string& note : notes) terminal.tell(note + "\n");
  return show_job(request, line, terminal);
}

}  // namespace niwaki
