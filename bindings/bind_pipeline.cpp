#include "bindings/bind.h"
#include "compress/cli/job.h"
#include "passes/all_passes.h"

#include <pybind11/stl.h>

namespace py = pybind11;

namespace niwaki {
namespace {

/// Reads a field when the request has it; each key is a field's name.
template <typename T>
void take(const Json& json, const char* key, T& field) {
  if (const auto found = json.find(key); found != json.end() && !found->is_null()) found->get_to(field);
}
void take(const Json& json, const char* key, std::optional<std::string>& field) {
  if (const auto found = json.find(key); found != json.end() && !found->is_null()) field = found->get<std::string>();
}
void take(const Json& json, const char* key, DataRequest& field) {
  if (const auto found = json.find(key); found != json.end() && !found->is_null()) {
    take(*found, "path", field.path);
    take(*found, "samples", field.samples);
  }
}

std::vector<Step> steps_of(const Json& json) {
  std::vector<Step> steps;
  for (const Json& step : json) steps.push_back({step.at("name"), step.value("options", Json::object())});
  return steps;
}

/// `preprocess` and `csv` count for all kinds of data; each is a block, or a path or the flag's text.
void take_forms(const Json& json, JobRequest& request) {
  const auto given = [&](const char* key) -> const Json* {
    const auto found = json.find(key);
    return found == json.end() || found->is_null() ? nullptr : &*found;
  };
  for (DataRequest* data : {&request.calibration, &request.evaluation, &request.training}) {
    if (const Json* block = given("preprocess")) {
      data->preprocess = block->is_string() ? read_preprocess(block->get<std::string>()) : parse_preprocess(*block, "preprocess");
    }
    if (const Json* block = given("csv")) {
      data->csv = parse_csv_options(block->is_string() ? csv_block_of(block->get<std::string>()) : *block, "csv");
    }
  }
}

JobRequest request_of(const Json& json) {
  JobRequest request;
  take(json, "program", request.program);
  take(json, "command_line", request.command_line);
  take(json, "model", request.model);
  take(json, "output", request.output);
  if (json.contains("steps")) request.steps = steps_of(json["steps"]);
  take(json, "clean", request.clean);
  take(json, "encode", request.encode);
  take(json, "short_names", request.short_names);
  take(json, "calibration", request.calibration);
  take(json, "evaluation", request.evaluation);
  take(json, "training", request.training);
  take(json, "teacher", request.teacher);
  take(json, "work_directory", request.work_directory);
  take(json, "resume", request.resume);
  take_forms(json, request);
  take(json, "batch", request.batch);
  take(json, "fixed_inputs", request.fixed_inputs);
  take(json, "metric", request.metric);
  take(json, "output_name", request.output_name);
  take(json, "keep", request.keep);
  take(json, "only", request.only);
  take(json, "max_drop", request.max_drop);
  take(json, "max_size", request.max_size);
  take(json, "max_latency_ratio", request.max_latency_ratio);
  take(json, "require_gain", request.require_gain);
  take(json, "allow_growth", request.allow_growth);
  take(json, "must_shrink", request.must_shrink);
  take(json, "keep_weights", request.keep_weights);
  take(json, "accept_inconclusive", request.accept_inconclusive);
  take(json, "verify", request.verify);
  take(json, "latency", request.latency);
  take(json, "external_data", request.external_data);
  take(json, "opset", request.opset);
  take(json, "report_directory", request.report_directory);
  take(json, "write_report", request.write_report);
  take(json, "force", request.force);
  take(json, "threads", request.threads);
  take(json, "seed", request.seed);
  take(json, "target", request.target);
  return request;
}

/// (text of report.json, exit code)
py::tuple run(const std::string& text) {
  const JobRequest request = request_of(Json::parse(text));
  const JobResult result = interruptible([request] { return run_job(request); });
  return py::make_tuple(text_of(result.report), result.exit_code);
}

py::tuple expand(const std::string& verb, const std::string& options, bool has_calibration, bool encode) {
  Strings notes;
  Json steps = Json::array();
  for (const Step& step : expand_verb(verb, Json::parse(options), has_calibration, &notes, encode)) {
    steps.push_back({{"name", step.name}, {"options", step.options}});
  }
  return py::make_tuple(text_of(steps), notes);
}

Json described(const std::vector<OptionText>& options) {
  Json list = Json::array();
  for (const OptionText& option : options) {
    list.push_back({{"name", option.name}, {"type", option.type}, {"help", option.help}, {"default", option.otherwise}});
  }
  return list;
}

std::string passes() {
  Json list = Json::array();
  for (const PassEntry& entry : all_passes().entries()) {
    list.push_back({{"name", entry.name}, {"help", entry.help}, {"options", described(entry.options)}});
  }
  return text_of(list);
}

}  // namespace

void bind_pipeline(py::module_& module) {
  module.def("run_job", &run, py::arg("request"));
  module.def("expand_verb", &expand, py::arg("verb"), py::arg("options"), py::arg("has_calibration"), py::arg("encode") = true);
  module.def("verb_options", [](const std::string& verb) { return text_of(described(verb_options(verb))); }, py::arg("verb"));
  module.def("passes", &passes);
}

}  // namespace niwaki
