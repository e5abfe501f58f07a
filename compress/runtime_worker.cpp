#include "compress/runtime_worker.h"

#include "compress/error.h"
#include "compress/worker_process.h"

#include <nlohmann/json.hpp>

#include <filesystem>
#include <string_view>
#include <utility>

namespace niwaki {

extern const std::string_view runtime_worker_script;

namespace {

using Json = nlohmann::json;

constexpr int64_t kAlignment = 64;

DType dtype_named(const std::string& name) {
  for (int32_t number = 1; is_known(DType(number)); ++number) {
    if (name_of(DType(number)) == name) return DType(number);
  }
  return DType::undefined;
}

std::string absolute_path(const std::string& path) {
  return path.empty() ? path : std::filesystem::absolute(path).string();
}

RuntimeValue runtime_value(const Json& json) {
  return {json.at("name"), json.at("type"), json.at("shape").get<std::vector<int64_t>>()};
}

Json write_inputs(const SharedFile& file, const NamedTensors& inputs) {
  Json tensors = Json::array();
  int64_t offset = 0;
  for (const auto& [name, input] : inputs) {
    const DType dtype = dtype_of(input.scalar_type());
    if (dtype == DType::undefined) {
      throw ModelError("E3311",
                       cat("input '", printable(name), "' has a type that ONNX does not know"));
    }
    const Tensor tensor = input.cpu().contiguous();
    file.write(tensor.data_ptr(), tensor.nbytes(), offset);
    tensors.push_back({{"name", name},
                       {"dtype", name_of(dtype)},
                       {"shape", tensor.sizes().vec()},
                       {"offset", offset}});
    offset += (int64_t(tensor.nbytes()) + kAlignment - 1) / kAlignment * kAlignment;
  }
  return tensors;
}

NamedTensors read_outputs(const SharedFile& file, const Json& tensors) {
  NamedTensors outputs;
  for (const Json& described : tensors) {
    const DType dtype = dtype_named(described.at("dtype"));
    const auto sizes = described.at("shape").get<std::vector<int64_t>>();
    Tensor tensor = at::empty(sizes, at::TensorOptions().dtype(scalar_type(dtype)));
    file.read(tensor.data_ptr(), tensor.nbytes(), described.at("offset"));
    outputs.emplace(described.at("name"), std::move(tensor));
  }
  return outputs;
}

}  // namespace

RuntimeWorker::RuntimeWorker(WorkerOptions options) : options_(std::move(options)) {
  const std::string python =
      options_.python.empty() ? find_python(options_.program) : options_.python;
  is_greeted_ = true;
  if (python.empty()) {
    reason_ = "no Python interpreter was found";
    return;
  }
  try {
    process_ = std::make_unique<WorkerProcess>(python, runtime_worker_script,
                                               options_.memory_bytes);
    is_greeted_ = false;
  } catch (const EnvironmentError& error) {
    reason_ = error.message();
  }
}

RuntimeWorker::~RuntimeWorker() = default;

void RuntimeWorker::wait_for_hello() {
  if (is_greeted_) return;
  is_greeted_ = true;
  const std::string python = process_->python();
  try {
    const Json answer = exchange({{"op", "hello"}}, "starting");
    if (!answer.contains("error")) {
      version_ = {answer.at("python"), answer.at("runtime"), python, answer.at("has_checker")};
      return;
    }
    reason_ = cat("'", python, "' cannot import onnxruntime: ",
                  printable(answer.value("message", "")));
  } catch (const Error& error) {
    reason_ = cat("'", python, "' does not run the worker: ", error.message());
  } catch (const Json::exception&) {
    reason_ = cat("'", python, "' does not run the worker: it answered something else");
  }
  process_.reset();
}

bool RuntimeWorker::available() {
  wait_for_hello();
  return reason_.empty();
}

const std::string& RuntimeWorker::reason() {
  wait_for_hello();
  return reason_;
}

const WorkerVersion& RuntimeWorker::version() {
  if (available()) return version_;
  throw EnvironmentError(
      "E4006", cat("ONNX Runtime is not available: ", reason_),
      {"", "", "pip install onnxruntime, or name an interpreter that has it in NIWAKI_PYTHON"});
}

int RuntimeWorker::process_id() const { return process_ == nullptr ? 0 : process_->id(); }

Json RuntimeWorker::exchange(const Json& request, const std::string& doing) {
  std::string line;
  try {
    line = request.dump();
  } catch (const Json::exception&) {
    throw ModelError("E3311", "a name or path is not valid UTF-8, which ONNX Runtime needs here");
  }
  process_->send(std::move(line));
  const auto outcome = process_->receive(line, options_.timeout_seconds, options_.stopped);
  if (outcome == WorkerProcess::Outcome::line) {
    const Json answer = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (answer.is_object()) return answer;
    throw InternalError("the runtime's process answered with what is no JSON object");
  }
  process_->stop();
  if (outcome == WorkerProcess::Outcome::stopped) throw Interrupted();
  const std::string how = outcome == WorkerProcess::Outcome::timeout
                              ? cat("timed out after ", options_.timeout_seconds, " s")
                              : process_->end_text();
  const std::string said = process_->last_message();
  throw ModelError("E3310", cat("ONNX Runtime ", how, " while ", doing),
                   {"", said.empty() ? "" : cat("its last message: ", said),
                    "try another version of onnxruntime, or --verify builtin"});
}

Json RuntimeWorker::request(const Json& request, const std::string& doing) {
  version();
  Json answer = exchange(request, doing);
  if (!answer.contains("error")) return answer;
  const std::string message = printable(answer.value("message", ""), 1000);
  throw ModelError("E3311", cat("ONNX Runtime failed while ", doing, ": ", message),
                   {"", cat("it raised ", printable(answer.value("error", "")))});
}

SessionId RuntimeWorker::load(const std::string& path, const LoadOptions& options) {
  const SessionId session{++num_sessions_};
  const Json answer = request({{"op", "load"},
                               {"id", uint32_t(session)},
                               {"model", absolute_path(path)},
                               {"threads", options.threads},
                               {"level", options.is_optimized ? "default" : "disabled"},
                               {"optimized", absolute_path(options.optimized_path)}},
                              cat("loading '", printable(path), "'"));
  RuntimeInterface found;
  for (const Json& value : answer.at("inputs")) found.inputs.push_back(runtime_value(value));
  for (const Json& value : answer.at("outputs")) found.outputs.push_back(runtime_value(value));
  found.load_seconds = answer.at("seconds");
  sessions_[session] = {std::move(found), cat("running '", printable(path), "'")};
  return session;
}

void RuntimeWorker::unload(SessionId session) {
  request({{"op", "unload"}, {"id", uint32_t(session)}}, "unloading a model");
  sessions_.erase(session);
}

const RuntimeWorker::Session& RuntimeWorker::find(SessionId session) const {
  const auto found = sessions_.find(session);
  if (found == sessions_.end()) {
    throw InternalError("this model is not loaded in the runtime's process");
  }
  return found->second;
}

const RuntimeInterface& RuntimeWorker::interface(SessionId session) const {
  return find(session).interface;
}

NamedTensors RuntimeWorker::run(SessionId session, const NamedTensors& inputs,
                                const std::vector<std::string>& outputs) {
  version();
  const Json answer = request({{"op", "run"},
                               {"id", uint32_t(session)},
                               {"tensors", write_inputs(process_->inputs(), inputs)},
                               {"inputs", process_->inputs().path()},
                               {"outputs", process_->outputs().path()},
                               {"names", outputs}},
                              find(session).doing);
  return read_outputs(process_->outputs(), answer.at("tensors"));
}

Json RuntimeWorker::census(const std::string& path) {
  return request({{"op", "census"}, {"model", absolute_path(path)}},
                 cat("optimizing '", printable(path), "'"));
}

Json RuntimeWorker::check(const std::string& path) {
  return request({{"op", "check"}, {"model", absolute_path(path)}},
                 cat("checking '", printable(path), "'"));
}

void RuntimeWorker::bind(SessionId session, const NamedTensors& inputs) {
  version();
  request({{"op", "bind"},
           {"id", uint32_t(session)},
           {"tensors", write_inputs(process_->inputs(), inputs)},
           {"inputs", process_->inputs().path()}},
          find(session).doing);
}

double RuntimeWorker::warm_up(SessionId session, double seconds) {
  const Json message = {{"op", "warm_up"}, {"id", uint32_t(session)}, {"seconds", seconds}};
  return request(message, find(session).doing).at("ns").get<double>() / 1e6;
}

std::vector<double> RuntimeWorker::measure(SessionId session, int64_t num_runs) {
  const Json message = {{"op", "measure"}, {"id", uint32_t(session)}, {"runs", num_runs}};
  auto times = request(message, find(session).doing).at("ns").get<std::vector<double>>();
  for (double& time : times) time /= 1e6;
  return times;
}

WorkerMemory RuntimeWorker::memory(bool reset) {
  const Json answer = request({{"op", "memory"}, {"reset", reset}}, "measuring memory");
  return {answer.at("rss_bytes"), answer.at("peak_bytes")};
}

}  // namespace niwaki
