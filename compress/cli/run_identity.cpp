#include "compress/cli/run_identity.h"

#include "compress/cli/command_line.h"
#include "compress/digest.h"
#include "compress/mapped_file.h"
#include "compress/run_directory.h"

#include <filesystem>
#include <fstream>

namespace niwaki {
namespace {

namespace fs = std::filesystem;

constexpr uintmax_t kMostBytes = 1 << 20;    // of a request

Json file_identity(const std::string& path) {
  if (path.empty()) return nullptr;
  std::error_code error;
  const uintmax_t size = fs::is_regular_file(path, error) ? fs::file_size(path, error) : 0;
  const auto time = fs::last_write_time(path, error).time_since_epoch().count();
  return {fs::absolute(path).lexically_normal().string(), size, time};
}

Json data_identity(const DataRequest& data) { return {file_identity(data.path), data.samples}; }

Json document_at(const std::string& path) {
  std::error_code error;
  if (!fs::is_regular_file(path, error)) {
    throw EnvironmentError("E4004", "no stopped run is here", {.where = path, .help = "give the run directory that the stopped run named, or repeat its command"});
  }
  if (fs::file_size(path, error) > kMostBytes) throw ModelError("E1806", "this is no request of a stopped run", {.where = path});
  std::ifstream file(path);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  Json document = Json::parse(text, nullptr, false);
  const auto is_words = [](const Json& words) { return words.is_array() && std::all_of(words.begin(), words.end(), [](const Json& word) { return word.is_string(); }); };
  if (document.is_discarded() || !document.is_object() || !document.value("folder", Json()).is_string() || !is_words(document.value("words", Json()))) {
    throw ModelError("E1806", "this is no request of a stopped run", {.where = path, .help = "repeat the command that was stopped"});
  }
  if (document.value("version", Json()) != version()) {
    throw ModelError("E1806", "another version of Niwaki stopped this run", {.where = path, .help = "repeat the command: it begins anew"});
  }
  return document;
}

}  // namespace

std::string run_identity(const JobRequest& request, const std::vector<Pass>& passes) {
  // from Python, the output is a file of the moment
  const std::string output = request.words.empty() ? "" : fs::absolute(request.output).lexically_normal().string();
  Json all = {{"version", version()},
              {"model", sha256(MappedFile::open(request.model)->bytes())},
              {"teacher", file_identity(request.teacher)},
              {"output", output},
              {"calibration", data_identity(request.calibration)},
              {"training", data_identity(request.training)},
              {"evaluation", data_identity(request.evaluation)},
              {"seed", request.seed}, {"batch", request.batch}, {"inputs", request.fixed_inputs},
              {"keep", request.keep}, {"only", request.only}, {"opset", request.opset}};
  for (const Pass& pass : passes) all["passes"].push_back({pass.name, pass.options});
  const std::string text = all.dump();
  return sha256(std::as_bytes(std::span(text))).substr(0, 16);
}

std::string request_text(const JobRequest& request) {
  return Json{{"version", version()}, {"folder", fs::current_path().string()}, {"words", request.words}}.dump(2) + "\n";
}

Strings resumed_words(const std::string& run_directory, const std::string& program) {
  const Json document = document_at(request_file(run_directory));
  const std::string from = program.find('/') == std::string::npos ? program : fs::absolute(program).string();
  std::error_code error;
  fs::current_path(document["folder"].get<std::string>(), error);
  if (error) throw EnvironmentError("E4004", cat("the folder of the stopped run is gone: ", error.message()), {.where = document["folder"].get<std::string>()});
  Strings words = document["words"].get<Strings>();
  words.insert(words.begin(), from);
  return words;
}

}  // namespace niwaki
