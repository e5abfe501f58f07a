#pragma once

#include "compress/tensor.h"

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace niwaki {

class WorkerProcess;

struct WorkerOptions {
  std::string program;            // argv[0]: the interpreter beside it is preferred
  std::string python;             // interpreter; empty: $NIWAKI_PYTHON, beside the program, PATH
  uint64_t memory_bytes = 0;      // address space the worker may use; 0: no limit
  double timeout_seconds = 600;   // per request
  std::function<bool()> stopped;  // asked every 0.1 s while waiting; true throws Interrupted
};

struct WorkerVersion {
  std::string python, runtime, interpreter;  // "3.11.7", "1.23.0", path
  bool has_checker = false;                  // the onnx package is there
};

struct RuntimeValue {
  std::string name;
  std::string type;            // as ONNX Runtime writes it: "tensor(float)"
  std::vector<int64_t> shape;  // -1 where it is not fixed
};

struct RuntimeInterface {
  std::vector<RuntimeValue> inputs, outputs;  // in graph order
  double load_seconds = 0;
};

struct LoadOptions {
  int threads = 0;                // 0: the default of ONNX Runtime
  bool is_optimized = true;       // false: graph optimization is disabled
  std::string optimized_path;     // where the optimized model is written; empty: nowhere
};

struct WorkerMemory {
  uint64_t rss_bytes = 0, peak_bytes = 0;  // now, and at most since the last reset
};

enum class SessionId : uint32_t {};
using NamedTensors = std::map<std::string, Tensor>;

/// ONNX Runtime in a process of its own: a crash or hang there is E3310, its refusals are E3311.
class RuntimeWorker {
 public:
  /// Starts the process and returns at once, so that its imports overlap with the caller's work.
  explicit RuntimeWorker(WorkerOptions options = {});
  /// Kills the process with its group.
  ~RuntimeWorker();
  RuntimeWorker(const RuntimeWorker&) = delete;
  RuntimeWorker& operator=(const RuntimeWorker&) = delete;

  /// Waits for the process; false where there is no interpreter or no onnxruntime package.
  bool available();
  /// Why it is not available; empty when it is.
  const std::string& reason();
  /// Throws E4006 where it is not available; so does every request below.
  const WorkerVersion& version();

  SessionId load(const std::string& path, const LoadOptions& options = {});
  void unload(SessionId session);
  const RuntimeInterface& interface(SessionId session) const;
  /// The named outputs (all of them when empty), contiguous on the CPU; refuses what is no tensor.
  NamedTensors run(SessionId session, const NamedTensors& inputs,
                   const std::vector<std::string>& outputs = {});

  /// {ops: {operator: count}, nodes: [{name, op, domain, inputs, outputs}]} of the optimized graph.
  nlohmann::json census(const std::string& path);
  /// {available, ok, version, message} of the onnx package's full check.
  nlohmann::json check(const std::string& path);

  /// Keeps inputs for `warm_up` and `measure`.
  void bind(SessionId session, const NamedTensors& inputs);
  /// Runs until the time per run is stable, at most `seconds`; returns milliseconds per run.
  double warm_up(SessionId session, double seconds);
  /// Milliseconds of each of `num_runs` runs.
  std::vector<double> measure(SessionId session, int64_t num_runs);
  WorkerMemory memory(bool reset = false);

  /// The process id; 0 when nothing runs.
  int process_id() const;

 private:
  struct Session {
    RuntimeInterface interface;
    std::string doing;  // "running 'model.onnx'"
  };
  void wait_for_hello();
  const Session& find(SessionId session) const;
  nlohmann::json exchange(const nlohmann::json& request, const std::string& doing);
  nlohmann::json request(const nlohmann::json& request, const std::string& doing);

  WorkerOptions options_;
  std::unique_ptr<WorkerProcess> process_;
  WorkerVersion version_;
  std::string reason_;
  bool is_greeted_ = false;
  uint32_t num_sessions_ = 0;
  std::map<SessionId, Session> sessions_;
};

}  // namespace niwaki
