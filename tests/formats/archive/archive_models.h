#pragma once

#include "tests/formats/archive/archive_samples.h"
#include "tests/formats/onnx_bytes.h"

namespace niwaki::archive {

inline std::string string_of(const Bytes& bytes) { return {bytes.begin(), bytes.end()}; }

/// An initializer [rows, columns] with its numbers inside.
inline std::string initializer(const std::string& name, uint64_t type, uint64_t rows, uint64_t columns, const Bytes& payload) {
  using namespace onnx_bytes;
  return text(5, text(1, varint(rows) + varint(columns)) + number(2, type) + text(8, name) + text(9, string_of(payload)));
}

/// An initializer of int8 whose numbers lie in a file.
inline std::string external_initializer(const std::string& name, const std::string& location, uint64_t rows, uint64_t columns, uint64_t offset) {
  using namespace onnx_bytes;
  const auto entry = [](const std::string& key, const std::string& value) { return text(13, text(1, key) + text(2, value)); };
  return text(5, text(1, varint(rows) + varint(columns)) + number(2, 3) + text(8, name) + entry("location", location) + entry("offset", std::to_string(offset)) +
                     entry("length", std::to_string(rows * columns)) + number(14, 1));
}

/// A small model with sparse codes, twice the same codes, floats, and a constant of no elements.
inline std::string sample_model() {
  const Bytes codes = normal_symbols(1200, 9);
  return onnx_bytes::model_of(onnx_bytes::small_graph() + initializer("mask", 2, 40, 50, structured_mask(40, 50, 0.1, 128)) + initializer("codes", 3, 30, 40, codes) +
                              initializer("again", 3, 30, 40, codes) + initializer("floats", 1, 20, 15, normal_symbols(1200, 60, 4)) + initializer("none", 1, 0, 4, {}));
}

}  // namespace niwaki::archive
