#include "compress/cli/report_file.h"

#include "compress/error.h"
#include "formats/limits.h"

#include <nlohmann/json.hpp>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace niwaki {

std::string report_path(const std::string& path) {
  std::error_code problem;
  if (!std::filesystem::is_directory(path, problem)) return path;
  return (std::filesystem::path(path) / "report.json").string();
}

Json read_report(const std::string& path) {
  std::error_code problem;
  const auto bytes = std::filesystem::file_size(path, problem);
  std::ifstream file(path, std::ios::binary);
  if (problem || !file) throw EnvironmentError("E4004", cat("no such report: '", printable(path), "'"), {.help = "give a report.json or the folder that holds it"});
  if (bytes > Limits{}.json_bytes) throw ModelError("E1004", cat("'", printable(path), "' has ", bytes, " bytes"), {.found = cat("needed at most ", Limits{}.json_bytes)});
  std::ostringstream text;
  text << file.rdbuf();
  int depth = 0;
  const auto bounded = [&](int level, Json::parse_event_t, Json&) {
    depth = std::max(depth, level);
    if (level > static_cast<int>(Limits{}.json_depth)) throw ModelError("E1806", cat("'", printable(path), "' is nested too deeply for a report"));
    return true;
  };
  Json report = Json::parse(text.str(), bounded, false);
  if (report.is_discarded() || !report.is_object() || !report.contains("schema_version")) {
    throw ModelError("E1806", cat("'", printable(path), "' is no report of Niwaki"), {.help = "give the report.json that a run wrote"});
  }
  if (report["schema_version"] != 1) throw ModelError("E1806", cat("'", printable(path), "' has an unknown schema_version"), {.found = cat("found ", report["schema_version"].dump(), "; needed 1")});
  return report;
}

}  // namespace niwaki
