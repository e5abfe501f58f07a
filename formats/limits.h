#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>

namespace niwaki {

/// The largest counts and sizes that a reader accepts; exceeding one is E1004 with the name and
/// `--limit`.
struct Limits {
  uint64_t file_bytes = uint64_t{1} << 40;
  uint64_t onnx_message_bytes = (uint64_t{1} << 31) - 1;
  uint64_t proto_messages = 4'000'000;
  uint64_t nodes = 1'000'000, constants = 1'000'000, values = 1'000'000;
  uint64_t functions = 10'000, expanded_nodes = 1'000'000;
  uint64_t graph_depth = 32, type_depth = 16, rank = 64;
  uint64_t tensor_elements = uint64_t{1} << 46;
  uint64_t fold_bytes = uint64_t{64} << 20, fold_ratio = 4, fold_bytes_total = uint64_t{4} << 30;
  uint64_t name_bytes = 4096, attribute_bytes = uint64_t{64} << 20;
  uint64_t metadata_bytes = uint64_t{16} << 20;
  uint64_t zip_entries = 100'000;
  uint64_t inflated_bytes = uint64_t{256} << 20, inflate_ratio = 200;
  uint64_t pickle_bytes = uint64_t{64} << 20, pickle_opcodes = 10'000'000;
  uint64_t pickle_depth = 1000, pickle_memo = 1'000'000;
  uint64_t json_bytes = uint64_t{256} << 20, json_depth = 64;
  uint64_t yaml_bytes = uint64_t{1} << 20, yaml_depth = 32;
  uint64_t image_pixels = uint64_t{64} << 20, image_bytes = uint64_t{64} << 20;
  uint64_t csv_line_bytes = uint64_t{16} << 20, csv_columns = 1'000'000;
  uint64_t load_seconds = 10;  // per 100 MB of metadata

  /// Everything divided by 16, for servers; depths and ranks stay usable.
  static Limits strict();
  /// Changes one by name; false where there is no such limit.
  bool set(std::string_view name, uint64_t value);
};

/// Names and members, in the order of the documentation; `least` is what `strict()` does not go
/// below.
struct LimitField {
  std::string_view name;
  uint64_t Limits::* member;
  uint64_t least = 1;
};
inline constexpr LimitField kLimitFields[] = {
    {"file_bytes", &Limits::file_bytes},
    {"onnx_message_bytes", &Limits::onnx_message_bytes},
    {"proto_messages", &Limits::proto_messages},
    {"nodes", &Limits::nodes},
    {"constants", &Limits::constants},
    {"values", &Limits::values},
    {"functions", &Limits::functions},
    {"expanded_nodes", &Limits::expanded_nodes},
    {"graph_depth", &Limits::graph_depth, 8},
    {"type_depth", &Limits::type_depth, 4},
    {"rank", &Limits::rank, 8},
    {"tensor_elements", &Limits::tensor_elements},
    {"fold_bytes", &Limits::fold_bytes},
    {"fold_ratio", &Limits::fold_ratio},
    {"fold_bytes_total", &Limits::fold_bytes_total},
    {"name_bytes", &Limits::name_bytes},
    {"attribute_bytes", &Limits::attribute_bytes},
    {"metadata_bytes", &Limits::metadata_bytes},
    {"zip_entries", &Limits::zip_entries},
    {"inflated_bytes", &Limits::inflated_bytes},
    {"inflate_ratio", &Limits::inflate_ratio, 32},
    {"pickle_bytes", &Limits::pickle_bytes},
    {"pickle_opcodes", &Limits::pickle_opcodes},
    {"pickle_depth", &Limits::pickle_depth},
    {"pickle_memo", &Limits::pickle_memo},
    {"json_bytes", &Limits::json_bytes},
    {"json_depth", &Limits::json_depth, 8},
    {"yaml_bytes", &Limits::yaml_bytes},
    {"yaml_depth", &Limits::yaml_depth, 8},
    {"image_pixels", &Limits::image_pixels},
    {"image_bytes", &Limits::image_bytes},
    {"csv_line_bytes", &Limits::csv_line_bytes},
    {"csv_columns", &Limits::csv_columns},
    {"load_seconds", &Limits::load_seconds},
};

inline Limits Limits::strict() {
  Limits limits;
  for (const LimitField& field : kLimitFields) {
    limits.*field.member = std::max(limits.*field.member / 16, field.least);
  }
  return limits;
}

inline bool Limits::set(std::string_view name, uint64_t value) {
  for (const LimitField& field : kLimitFields) {
    if (field.name != name) continue;
    this->*field.member = value;
    return true;
  }
  return false;
}

}  // namespace niwaki
