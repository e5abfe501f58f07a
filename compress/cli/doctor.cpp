#include "compress/cli/command.h"
#include "compress/cli/terminal.h"
#include "compress/parallel.h"
#include "compress/report/numbers.h"
#include "compress/runtime_worker.h"

#include <filesystem>
#include <fstream>
#include <sstream>

#include <torch/version.h>

namespace niwaki {
namespace {

/// The value behind "name :" in a file of /proc; "" where there is none.
std::string proc_value(const char* path, const std::string& name) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(name)) continue;
    const size_t colon = line.find(':');
    const size_t begin = line.find_first_not_of(" \t", colon + 1);
    return colon == std::string::npos || begin == std::string::npos ? "" : line.substr(begin);
  }
  return "";
}

Json cpu() {
  const std::string flags = " " + proc_value("/proc/cpuinfo", "flags") + " ";
  Json features = Json::array();
  for (const char* name : {"avx2", "fma", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16"}) {
    if (flags.find(cat(" ", name, " ")) != std::string::npos) features.push_back(name);
  }
  return {{"name", printable(proc_value("/proc/cpuinfo", "model name"))}, {"threads", num_threads()}, {"kernels", cpu_features()}, {"features", features}};
}

Json memory() {
  const auto bytes = [](const char* name) { return 1024 * std::strtoull(proc_value("/proc/meminfo", name).c_str(), nullptr, 10); };
  return {{"total_bytes", bytes("MemTotal")}, {"available_bytes", bytes("MemAvailable")}};
}

Json disk() {
  std::error_code problem;
  const auto space = std::filesystem::space(".", problem);
  return problem ? Json(nullptr) : Json{{"total_bytes", space.capacity}, {"free_bytes", space.available}};
}

Json onnx_runtime(const CommandLine& line) {
  RuntimeWorker worker({.program = line.program, .timeout_seconds = 60});
  if (!worker.available()) return {{"found", false}, {"reason", printable(worker.reason())}};
  const WorkerVersion& found = worker.version();
  return {{"found", true}, {"version", found.runtime}, {"python", found.python}, {"interpreter", found.interpreter}, {"onnx_checker", found.has_checker}};
}

std::string words(const Json& list) {
  std::string text;
  for (const Json& word : list) text += (text.empty() ? "" : " ") + word.get<std::string>();
  return text.empty() ? "none of interest" : text;
}

}  // namespace

int doctor_command(const CommandLine& line, Terminal& terminal) {
  const Json found = {{"niwaki", version()}, {"cpu", cpu()}, {"memory", memory()}, {"disk", disk()}, {"libtorch", TORCH_VERSION}, {"onnxruntime", onnx_runtime(line)}};
  const auto size = [](const Json& bytes) { return size_text(bytes.get<double>()); };
  std::string text = cat("niwaki       ", version(), "\ncpu          ", found["cpu"]["name"].get<std::string>(), " · ", num_threads(), " threads\n             ",
                         words(found["cpu"]["features"]), "\nmemory       ", size(found["memory"]["available_bytes"]), " free of ", size(found["memory"]["total_bytes"]), "\n");
  if (found["disk"].is_object()) text += cat("disk         ", size(found["disk"]["free_bytes"]), " free of ", size(found["disk"]["total_bytes"]), " here\n");
  text += cat("builtin      LibTorch ", TORCH_VERSION, "\n");
  const Json& runtime = found["onnxruntime"];
  if (runtime["found"].get<bool>()) {
    text += cat("onnxruntime  ", runtime["version"].get<std::string>(), " · Python ", runtime["python"].get<std::string>(), " · onnx checker ", runtime["onnx_checker"].get<bool>() ? "found" : "not found (pip install onnx)", "\n");
  } else {
    text += cat("onnxruntime  not found: ", runtime["reason"].get<std::string>(), "\nhelp: pip install onnxruntime onnx\n");
  }
  terminal.print(text);
  terminal.print_json(found);
  return 0;
}

}  // namespace niwaki
