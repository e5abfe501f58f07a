#include "formats/archive/pack.h"

#include "compress/atomic_file.h"
#include "compress/cli/command.h"
#include "compress/cli/graph_facts.h"
#include "compress/cli/terminal.h"
#include "compress/report/numbers.h"
#include "formats/archive/unpack_files.h"

#include <chrono>

namespace niwaki {
namespace {

using Clock = std::chrono::steady_clock;
constexpr size_t kMostRows = 12;             // tensors that people get to see

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

std::string checked_output(const CommandLine& line) {
  const std::string output = line.text("output");
  require_writable_output(output, {line.arguments[0]}, line.has("force"), line.has("mkdir"));
  return output;
}

Json packed_json(const archive::Packed& packed, double seconds) {
  Json tensors = Json::array();
  double floor = 0;
  uint64_t coded = 0, bytes = 0;
  for (const archive::PackedTensor& tensor : packed.tensors) {
    tensors.push_back({{"name", printable(tensor.name)}, {"coding", tensor.kind}, {"bytes", tensor.bytes}, {"coded_bytes", tensor.coded_bytes}, {"order0_bytes", std::ceil(tensor.floor_bytes)}});
    floor += tensor.floor_bytes;
    coded += tensor.coded_bytes;
    bytes += tensor.bytes;
  }
  const auto rate = [&](double value) { return packed.original_bytes == 0 ? Json(nullptr) : Json(value); };
  return {{"original_bytes", packed.original_bytes}, {"archive_bytes", packed.archive.size()},
          {"ratio", rate(static_cast<double>(packed.archive.size()) / static_cast<double>(packed.original_bytes))},
          {"tensors", {{"bytes", bytes}, {"coded_bytes", coded}, {"order0_bytes", std::ceil(floor)}}},
          {"rest", {{"bytes", packed.graph_bytes}, {"coded_bytes", packed.graph_coded_bytes}}}, {"index_bytes", packed.index_bytes},
          {"resident_bytes", packed.original_bytes}, {"streams", tensors}, {"seconds", seconds}};
}

void print_packed(Terminal& terminal, const Json& json, const std::string& output) {
  const auto size = [](const Json& bytes) { return size_text(bytes.get<double>()); };
  const Json& tensors = json["tensors"];
  const double original = json["original_bytes"].get<double>(), own = std::max(1.0, json["archive_bytes"].get<double>());
  terminal.print(cat("  archive   ", size(json["original_bytes"]), " -> ", size(json["archive_bytes"]), ", ", fixed(original / own, 2), "x smaller\n"));
  terminal.print(cat("  tensors   ", size(tensors["bytes"]), " -> ", size(tensors["coded_bytes"]), ", order-0 floor ", size(tensors["order0_bytes"]), "\n"));
  terminal.print(cat("  the rest  ", size(json["rest"]["bytes"]), " -> ", size(json["rest"]["coded_bytes"]), " · index ", size(json["index_bytes"]), "\n"));
  size_t count = 0;
  for (const Json& row : json["streams"]) {
    if (++count > kMostRows) break;
    terminal.print(cat("    ", padded(row["name"].get<std::string>(), 34), " ", padded(row["coding"].get<std::string>(), 20), " ", size(row["bytes"]), " -> ", size(row["coded_bytes"]), ", floor ", size(row["order0_bytes"]), "\n"));
  }
  if (count > kMostRows) terminal.print(cat("    +", json["streams"].size() - kMostRows, " more: --json lists all\n"));
  terminal.print(cat("  in memory it is as large as the model: the archive saves disk and transfer\n  wrote  ", printable(output), "\n"));
}

}  // namespace

int pack_command(const CommandLine& line, Terminal& terminal) {
  const std::string output = checked_output(line);
  const auto begin = Clock::now();
  terminal.show()({"pack", 0, 0});
  const archive::Packed packed = archive::pack_model(line.arguments[0], {.codec = archive::codec_named(line.text("codec", "auto")), .read = read_options(line)});
  write_file(output, std::as_bytes(std::span(packed.archive)));
  terminal.end_progress();
  Json json = packed_json(packed, seconds_since(begin));
  json["output"] = printable(output, 4096);
  print_packed(terminal, json, output);
  terminal.print_json(json);
  return 0;
}

int unpack_command(const CommandLine& line, Terminal& terminal) {
  const std::string output = checked_output(line);
  const auto begin = Clock::now();
  const archive::WrittenFiles written = archive::unpack_files(line.arguments[0], output, read_options(line).limits, line.has("force"));
  Json files = Json::array();
  for (const std::string& path : written.data_paths) files.push_back(printable(path, 4096));
  const Json json = {{"output", printable(output, 4096)}, {"bytes", written.model_bytes}, {"data_files", files}, {"seconds", seconds_since(begin)}};
  terminal.print(cat("  wrote  ", printable(output), "  ", size_text(static_cast<double>(written.model_bytes)), "\n"));
  for (const Json& file : files) terminal.print(cat("  wrote  ", file.get<std::string>(), "\n"));
  terminal.print_json(json);
  return 0;
}

}  // namespace niwaki
