#include "compress/cli/job.h"

#include "compress/atomic_file.h"
#include "compress/cli/job_report.h"
#include "compress/cli/run_identity.h"
#include "compress/cli/verification.h"
#include "compress/evaluate.h"
#include "compress/footprint.h"
#include "compress/gate.h"
#include "compress/macs.h"
#include "compress/measure.h"
#include "compress/onnx/infer_shapes.h"
#include "compress/onnx/raise_opset.h"
#include "compress/parallel.h"
#include "compress/pipeline.h"
#include "compress/report/report.h"
#include "compress/run_directory.h"
#include "compress/runtime_worker.h"
#include "compress/statistics.h"
#include "compress/train/process_group.h"
#include "formats/archive/read_archive.h"
#include "formats/fit_samples.h"
#include "formats/samples.h"
#include "passes/all_passes.h"

#include <chrono>
#include <filesystem>

namespace niwaki {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kSensitivitySamples = 32;
constexpr int kLatencyAttempts = 3;          // cuts deeper than the cost table asks for

std::string report_directory(const JobRequest& request) {
  if (!request.report_directory.empty()) return request.report_directory;
  const size_t dot = request.output.rfind('.'), slash = request.output.rfind('/');
  const bool has_suffix = dot != std::string::npos && (slash == std::string::npos || dot > slash + 1);
  return (has_suffix ? request.output.substr(0, dot) : request.output) + ".report";
}

}  // namespace

std::vector<Pass> cleanup_passes(bool keep_weights) {
  static const std::set<std::string> kRewrites = {"fold_batch_norm", "merge_matmul_add", "remove_dead_channels"};
  std::vector<Pass> passes;
  for (const char* name : {"fold_constants", "simplify_shapes", "eliminate_identity", "merge_duplicates", "eliminate_dead_nodes", "fold_batch_norm",
                           "merge_matmul_add", "simplify_shuffles", "flatten_softmax", "remove_dead_channels", "fold_constants", "eliminate_dead_nodes"}) {
    if (!keep_weights || !kRewrites.contains(name)) passes.push_back(all_passes().make(name));
  }
  return passes;
}

namespace {

std::vector<Pass> make_passes(const JobRequest& request) {
  std::vector<Pass> passes;
  const auto add = [&](const std::string& name, const Json& options = Json::object()) { passes.push_back(all_passes().make(name, options)); };
  if (!request.steps.empty()) add("expand_stored_forms");
  if (request.clean) {
    for (Pass& pass : cleanup_passes(request.keep_weights)) passes.push_back(std::move(pass));
  }
  for (const Step& step : request.steps) add(step.name, step.options);
  if (!request.steps.empty()) add("eliminate_dead_nodes");
  if (request.encode) add("encode_constants", {{"sparse", request.target != "generic"}});
  if (request.short_names) add("shorten_names");
  return passes;
}

/// One run of the whole line, stage by stage.
class Job {
 public:
  Job(const JobRequest& request, const JobEvents& events) : request_(request), events_(events), progress_(events.progress) {}
  JobResult run();

 private:
  JobResult run_stages();
  void refuse_early() const;
  void read();
  void open_run_directory();
  void compress();
  void write_and_verify();
  void judge_quality();
  /// Gives the nodes that hurt most back to float, more of them each time, until the drop is within --max-drop.
  void recover_quality();
  std::vector<std::string> sensitive_nodes();
  bool drops_too_far() const;
  void measure();
  /// Cuts deeper where the time of a pruned model, as measured, is still above the `latency_ratio` that was asked for.
  void reach_latency();
  void finish();
  template <typename Work>
  void stage(const std::string& name, Work&& work);
  bool wants_latency() const {
    return request_.latency == "on" || (request_.latency == "auto" && (!request_.evaluation.path.empty() || request_.max_latency_ratio));
  }
  bool trains() const;
  bool has_runtime() { return worker_ && worker_->available(); }
  Json quality_entry(const Comparison& comparison) const;
  /// Samples to run the model on, of whatever kind.
  const Dataset* samples_seen() const { return calibration_ ? &*calibration_ : evaluation_ ? &*evaluation_ : training_ ? &*training_ : nullptr; }
  double macs_of(const Graph& graph) const;
  NamedTensors first_inputs() const;

  const JobRequest& request_;
  const JobEvents& events_;
  Progress progress_;
  std::unique_ptr<RuntimeWorker> worker_;
  std::vector<Pass> passes_;
  std::vector<PassReport> pass_reports_;
  Model model_;
  std::unique_ptr<archive::RunnableModel> runnable_;   // the model as ONNX Runtime can open it
  Graph original_, graph_;
  double original_macs_ = 0;
  std::optional<Model> teacher_;
  std::optional<Dataset> calibration_, evaluation_, training_;
  std::optional<RunDirectory> run_directory_;
  std::optional<StagedModel> staged_;
  Json report_ = Json::object();
  Strings data_notes_;                       // of calibration and evaluation data
  std::vector<std::string> keep_;            // --keep, and what recover_quality() adds
  int stage_ = 0, num_stages_ = 0;
  Clock::time_point begin_ = Clock::now();
};

template <typename Work>
void Job::stage(const std::string& name, Work&& work) {
  ++stage_;
  if (events_.stage_begins) events_.stage_begins(stage_, num_stages_, name);
  const auto begin = Clock::now();
  work();
  if (events_.stage_ends) events_.stage_ends(stage_, num_stages_, name, std::chrono::duration<double>(Clock::now() - begin).count());
}

void Job::refuse_early() const {
  std::vector<std::string> inputs{request_.model};
  for (const DataRequest* data : {&request_.calibration, &request_.evaluation, &request_.training}) {
    if (!data->path.empty()) inputs.push_back(data->path);
  }
  if (!request_.teacher.empty()) inputs.push_back(request_.teacher);
  require_writable_output(request_.output, inputs, request_.force, request_.make_directories);
  if (request_.max_drop) {
    if (request_.evaluation.path.empty()) throw UsageError("E2015", "--max-drop needs labelled data", {.help = "give --data DATA"});
    parse_drop(*request_.max_drop, request_.metric.empty() ? "top1" : request_.metric);
  }
  if (request_.max_size) parse_size(*request_.max_size);
}

void Job::read() {
  model_ = read_model(request_.model, request_.read);
  runnable_ = std::make_unique<archive::RunnableModel>(request_.model, request_.read);
  graph_ = model_.graph;
  infer_shapes(graph_);
  original_ = graph_;
  require_matches(graph_, request_.keep, "--keep");
  require_matches(graph_, request_.only, "--only");
  if (!request_.calibration.path.empty()) calibration_ = load_dataset(graph_, request_.calibration, request_, false, &data_notes_);
  if (!request_.evaluation.path.empty()) evaluation_ = load_dataset(graph_, request_.evaluation, request_, true, &data_notes_);
  if (!request_.training.path.empty()) training_ = load_dataset(graph_, request_.training, request_, true, &data_notes_);
  if (!request_.teacher.empty()) {
    teacher_ = read_model(request_.teacher, request_.read);
    infer_shapes(teacher_->graph);
  }
}

bool Job::trains() const {
  return std::any_of(passes_.begin(), passes_.end(), [](const Pass& pass) { return pass.needs.training; });
}

/// Only training takes long enough to be worth going on with.
void Job::open_run_directory() {
  if (!trains() || request_.dry_run || request_.work_directory.empty() || request_.resume == "never") return;
  run_directory_.emplace(request_.work_directory, run_identity(request_, passes_));
  if (!run_directory_->has_checkpoint() && request_.resume == "required") {
    throw UsageError("E1806", "there is no stopped run of this command to go on with", {.where = run_directory_->path(), .help = "leave --resume out to begin anew"});
  }
  if (!request_.words.empty()) write_file(request_file(run_directory_->path()), request_text(request_));
}

/// For one sample.
double Job::macs_of(const Graph& graph) const {
  return total_macs(graph, sizes_of_one(graph, samples_seen()));
}

void Job::compress() {
  graph_ = original_;
  if (request_.opset > 0) {
    if (request_.opset < graph_.opset()) throw UsageError("E2016", cat("--opset ", request_.opset, " is older than the model's ", graph_.opset()));
    raise_opset(graph_, request_.opset);
    infer_shapes(graph_);
  }
  const RunInputs inputs{.calibration = calibration_ ? &*calibration_ : nullptr,
                         .training = training_ ? &*training_ : nullptr,
                         .teacher = teacher_ ? &teacher_->graph : &original_,
                         .keep = keep_,
                         .only = request_.only,
                         .seed = request_.seed,
                         .original_macs = original_macs_,
                         .dump_directory = request_.dump_directory,
                         .stop_after = request_.stop_after,
                         .skip = request_.skip,
                         .checkpoint_directory = run_directory_ ? run_directory_->path() : "",
                         .group = request_.group};
  pass_reports_ = niwaki::run(passes_, graph_, inputs, progress_);
}

void Job::write_and_verify() {
  using External = WriteOptions::ExternalData;
  const std::map<std::string, External> kinds = {{"auto", External::automatic}, {"always", External::always}, {"never", External::never}};
  staged_.reset();                           // an earlier trial's part file goes first
  staged_.emplace(graph_, request_.output, WriteOptions{.external_data = kinds.at(request_.external_data)});
  const bool needs_runtime = request_.verify == "onnxruntime";
  if (needs_runtime && !has_runtime()) throw EnvironmentError("E4006", cat("ONNX Runtime is not available: ", worker_ ? worker_->reason() : "not started"));
  const Dataset* samples = samples_seen();
  report_["verification"] = verify_written(staged_->path(), runnable_->path(), graph_, samples, has_runtime() ? worker_.get() : nullptr, request_.threads);
  if (!has_runtime() && request_.verify != "builtin" && worker_) {
    report_["messages"].push_back({{"code", "W3402"}, {"message", cat("not verified on ONNX Runtime: ", worker_->reason())}});
  }
}

Json Job::quality_entry(const Comparison& comparison) const {
  Json entry = to_json(comparison);
  entry["role"] = "confirm";
  return entry;
}

void Job::judge_quality() {
  const EvaluateOptions options{.metric = request_.metric, .output = request_.output_name};
  if (has_runtime()) {
    const SessionId before = worker_->load(runnable_->path(), {.threads = request_.threads});
    const SessionId after = worker_->load(staged_->path(), {.threads = request_.threads});
    report_["quality"].push_back(quality_entry(evaluate_pair(runtime_runner(*worker_, before, original_), runtime_runner(*worker_, after, original_),
                                                             original_, *evaluation_, options, progress_, request_.seed)));
    worker_->unload(before);
    worker_->unload(after);
    return;
  }
  const Executor before(original_), after(graph_);
  report_["quality"].push_back(quality_entry(
      evaluate_pair(builtin_runner(before), builtin_runner(after), original_, *evaluation_, options, progress_, request_.seed)));
}

bool Job::drops_too_far() const {
  const Json& quality = report_["quality"].back();
  if (!request_.max_drop || !quality.contains("drop") || quality["drop"].is_null()) return false;
  const Drop allowed = parse_drop(*request_.max_drop, quality.value("metric", ""));
  double limit = allowed.amount;
  if (allowed.is_relative) limit *= quality.value("before", 0.0) * (quality.value("is_share", false) ? 1 : 0.01);
  return quality["drop"].get<double>() > limit;
}

/// Integer nodes, the one that alone moves the outputs most first; from a few samples of the calibration data.
std::vector<std::string> Job::sensitive_nodes() {
  const auto is_static = [](const Pass& pass) { return pass.name == "quantize_static"; };
  const auto found = std::find_if(passes_.begin(), passes_.end(), is_static);
  if (found == passes_.end() || !calibration_) return {};
  const std::span<const Pass> before(passes_.data(), static_cast<size_t>(found - passes_.begin()));
  Graph clean = original_;
  niwaki::run(before, clean, {}, progress_);
  const Dataset few = calibration_->head(kSensitivitySamples);
  const Runner in_float = [executor = std::make_shared<Executor>(clean)](const Dataset::Batch& batch) { return builtin_runner(*executor)(batch); };
  Json options = found->options;
  options["placement"] = "all";              // alone, a node might not pay
  const Pass alone = all_passes().make("quantize_static", options);
  std::vector<std::pair<double, std::string>> ranking;
  for (const PassReport& report : pass_reports_) {
    if (report.pass != "quantize_static") continue;
    for (const NodeReport& node : report.nodes) {
      if (node.outcome != Outcome::changed || !node.metrics.contains("sqnr_db")) continue;
      Graph trial = clean;
      niwaki::run(std::span(&alone, 1), trial, {.calibration = &few, .only = {node.node}}, progress_);
      const Executor executor(trial);
      const Comparison fidelity = evaluate_pair(in_float, builtin_runner(executor), clean, few, {.metric = "sqnr_db"}, progress_);
      ranking.emplace_back(fidelity.after, node.node);
    }
  }
  std::sort(ranking.begin(), ranking.end());
  std::vector<std::string> labels;
  for (auto& [sqnr_db, label] : ranking) labels.push_back(std::move(label));
  return labels;
}

void Job::recover_quality() {
  if (!drops_too_far()) return;
  const std::vector<std::string> ranked = sensitive_nodes();
  for (size_t count = 1; !ranked.empty(); count = std::min(2 * count, ranked.size())) {
    report_["trials"].push_back({{"kept_in_float", count == 1 ? 0 : count / 2}, {"drop", report_["quality"].back()["drop"]}, {"file_bytes", staged_->written().file_bytes}});
    keep_ = request_.keep;
    keep_.insert(keep_.end(), ranked.begin(), ranked.begin() + static_cast<std::ptrdiff_t>(count));
    compress();
    write_and_verify();
    report_["quality"].erase(report_["quality"].size() - 1);
    judge_quality();
    if (!drops_too_far() || count == ranked.size()) {
      report_["messages"].push_back({{"code", "N3004"}, {"message", cat(count, " nodes were kept in float for --max-drop ", *request_.max_drop, ": the most sensitive ones")}});
      return;
    }
  }
}

NamedTensors Job::first_inputs() const {
  NamedTensors inputs;
  const Dataset& data = evaluation_ ? *evaluation_ : *samples_seen();
  const Dataset::Batch batch = data.head(1).batch(0);
  size_t next = 0;
  for (const ValueId id : original_.main().inputs) {
    if (!original_.constant(id)) inputs[original_.value(id).name] = batch.inputs[next++].tensor;
  }
  return inputs;
}

void Job::measure() {
  const NamedTensors inputs = first_inputs();
  const WorkerOptions worker{.program = request_.program, .stopped = [] { return Progress::stop_requested().load(); }};
  const Latency latency = measure_latency(runnable_->path(), staged_->path(), inputs,
                                          {.seconds_per_side = 0.4, .warm_up_seconds = 0.2, .max_seconds = 12, .wanted_half_width = 0.03, .threads = request_.threads, .worker = worker});
  const auto times = [](const LatencySummary& one) {
    return Json{{"min", one.min}, {"p50", one.p50}, {"p95", one.p95}, {"mean", one.mean}, {"sd", one.sd}};
  };
  report_["latency"] = {{"runtime", latency.runtime}, {"version", latency.version}, {"threads", latency.threads},     {"batch", 1},
                        {"rounds", latency.rounds},   {"pairs", latency.pairs},     {"before_ms", times(latency.before)}, {"after_ms", times(latency.after)},
                        {"ratio", latency.ratio},     {"ci95", latency.ci95}};
  if (latency.is_unsteady()) report_["messages"].push_back({{"code", "W3403"}, {"message", "the machine was busy while latency was measured; the interval is wide"}});
  report_["memory"] = {{"peak_before", measure_peak_memory(runnable_->path(), inputs, request_.threads, worker).peak_bytes},
                       {"peak_after", measure_peak_memory(staged_->path(), inputs, request_.threads, worker).peak_bytes}};
}

void Job::reach_latency() {
  const auto is_timed = [](const Pass& pass) { return pass.name == "prune_channels" && pass.options.value("latency_ratio", 1.0) < 1; };
  const auto pass = std::find_if(passes_.begin(), passes_.end(), is_timed);
  if (pass == passes_.end()) return;
  const double wanted = pass->options["latency_ratio"];
  for (int attempt = 0; attempt < kLatencyAttempts; ++attempt) {
    const double reached = report_["latency"]["ratio"];
    if (reached <= wanted) return;
    const double asked = pass->options["latency_ratio"];
    report_["trials"].push_back({{"latency_ratio", asked}, {"measured", reached}, {"file_bytes", staged_->written().file_bytes}});
    Json options = pass->options;
    options["latency_ratio"] = asked * wanted / reached;
    *pass = all_passes().make("prune_channels", options);
    compress();
    write_and_verify();
    if (evaluation_) {
      report_["quality"].erase(report_["quality"].size() - 1);
      judge_quality();
    }
    measure();
  }
}

void Job::finish() {
  const Written& written = staged_->written();
  report_["schema_version"] = 1;
  report_["tool"] = {{"name", "niwaki"}, {"version", NIWAKI_VERSION}};
  report_["command"] = request_.command_line;
  report_["before"] = side_of(original_, model_.file_bytes);
  report_["after"] = side_of(graph_, written.file_bytes);
  report_["before"]["macs"] = original_macs_;
  report_["after"]["macs"] = macs_of(graph_);
  report_["files"] = Json::array({{{"role", "model"}, {"name", name_of_file(model_.path)}, {"bytes", model_.file_bytes}, {"sha256", model_.sha256}, {"format", model_.format}},
                                  {{"role", "output"}, {"name", name_of_file(written.path)}, {"bytes", written.file_bytes}, {"sha256", written.sha256}, {"format", "onnx"}}});
  if (!written.data_path.empty()) report_["files"].push_back({{"role", "external_data"}, {"name", name_of_file(written.data_path)}});
  report_["nodes"] = node_rows(pass_reports_, original_);
  report_["passes"] = pass_rows(pass_reports_);
  report_["changes"] = change_rows(pass_reports_);
  for (const PassReport& pass : pass_reports_) {
    for (const std::string& note : pass.notes) report_["messages"].push_back(message_of(note));
  }
  Json steps = Json::array();
  for (const Pass& pass : passes_) steps.push_back({{pass.name, pass.options}});
  report_["recipe"] = {{"version", 1}, {"target", request_.target}, {"steps", steps}, {"seed", request_.seed}};
  for (const Strings* notes : {&model_.notes, &data_notes_}) {
    for (const std::string& note : *notes) report_["messages"].push_back(message_of(note));
  }
}

JobResult Job::run() {
  try {
    return run_stages();
  } catch (const Interrupted&) {
    if (run_directory_ && run_directory_->has_checkpoint()) throw Interrupted(run_directory_->path());
    throw;
  }
}

JobResult Job::run_stages() {
  set_num_threads(request_.threads);
  report_["messages"] = Json::array();
  report_["quality"] = Json::array();
  report_["not_done"] = Json::array();
  refuse_early();
  passes_ = make_passes(request_);
  const bool is_member = request_.group != nullptr && !request_.group->is_first();
  if (request_.group != nullptr && !trains()) {
    throw UsageError("E2013", "several processes work together on training alone", {.help = "run this command with `niwaki`"});
  }
  keep_ = request_.keep;
  if (request_.verify != "builtin" && !request_.dry_run) {
    worker_ = std::make_unique<RuntimeWorker>(WorkerOptions{.program = request_.program, .stopped = [] { return Progress::stop_requested().load(); }});
  }
  num_stages_ = 3 + !request_.evaluation.path.empty() + wants_latency();
  stage("check", [&] { read(); });
  if (events_.planned) {
    events_.planned({{"model", side_of(original_, model_.file_bytes)}, {"name", name_of_file(model_.path)},
                     {"samples", calibration_ ? calibration_->num_samples() : 0}, {"passes", passes_.size()}});
  }
  if (request_.dry_run) return {report_, 0};
  if (!is_member) open_run_directory();
  stage("compress", [&] {
    original_macs_ = macs_of(original_);
    compress();
  });
  if (is_member) return {std::move(report_), 0};            // the first process writes
  stage("verify", [&] { write_and_verify(); });
  if (evaluation_) {
    stage("evaluate", [&] {
      judge_quality();
      if (request_.group == nullptr) recover_quality();
    });
  }
  const bool can_measure = wants_latency() && samples_seen() && has_runtime();
  if (can_measure) {
    stage("measure", [&] {
      measure();
      if (request_.group == nullptr) reach_latency();
    });
  }
  finish();
  GateLimits limits{.max_drop = request_.max_drop, .allow_growth = request_.allow_growth || !request_.must_shrink, .accept_inconclusive = request_.accept_inconclusive};
  if (request_.max_size) limits.max_bytes = parse_size(*request_.max_size);
  if (request_.max_latency_ratio) limits.max_latency_ratio = parse_share(*request_.max_latency_ratio);
  report_["run"] = {{"seconds", std::chrono::duration<double>(Clock::now() - begin_).count()}, {"threads", num_threads()}};
  const int exit_code = apply_gates(report_, limits);
  staged_->commit();
  if (run_directory_) run_directory_->remove();
  report_["content_hash"] = content_hash(report_);
  if (request_.write_report) std::filesystem::create_directories(report_directory(request_));
  if (request_.write_report) write_reports(report_, report_directory(request_), request_.report_formats);
  return {std::move(report_), exit_code};
}

}  // namespace

Dataset load_dataset(const Graph& graph, const DataRequest& data, const JobRequest& request, bool want_labels, Strings* notes) {
  std::string place = data.path.substr(0, data.path.find_last_not_of('/') + 1);   // a folder may end with slashes
  place = name_of_file(place);
  SampleArrays arrays = open_samples(data.path, request.read.limits, data.csv);
  try {
    arrays = fit_samples(graph, std::move(arrays), data.preprocess, request.fixed_inputs, notes);
  } catch (Error& error) {
    error.within(place);
    throw;
  }
  return Dataset(graph, std::move(arrays),
                 {.samples = data.samples, .batch = want_labels ? std::max<int64_t>(request.batch, 32) : request.batch, .seed = request.seed, .fixed = request.fixed_inputs, .want_labels = want_labels},
                 place);
}

JobResult run_job(const JobRequest& request, const JobEvents& events) { return Job(request, events).run(); }

}  // namespace niwaki
