#pragma once

#include <cstdint>
#include <string>

namespace niwaki::onnx_bytes {

inline std::string varint(uint64_t value) {
  std::string text;
  for (; value >= 0x80; value >>= 7) text += static_cast<char>(value | 0x80);
  return text + static_cast<char>(value);
}
inline std::string number(uint32_t field, uint64_t value) {
  return varint(field << 3) + varint(value);
}
inline std::string text(uint32_t field, const std::string& bytes) {
  return varint(field << 3 | 2) + varint(bytes.size()) + bytes;
}

/// graph.input of float32 [1, 2].
inline std::string value_info(const std::string& name) {
  const std::string shape = text(1, number(1, 1)) + text(1, number(1, 2));
  return text(1, name) + text(2, text(1, number(1, 1) + text(2, shape)));
}

/// y = x + w with an inline weight: a whole, valid model.
inline std::string small_graph() {
  const std::string node =
      text(1, "x") + text(1, "w") + text(2, "y") + text(3, "add") + text(4, "Add");
  const std::string weight = text(1, varint(1) + varint(2)) + number(2, 1) + text(8, "w") +
                             text(9, std::string("\0\0\x80\x3f\0\0\0\x40", 8));
  return text(1, node) + text(2, "g") + text(5, weight) + text(11, value_info("x")) +
         text(12, value_info("y"));
}
inline std::string model_of(const std::string& graph) {
  return number(1, 8) + text(2, "test") + text(7, graph) + text(8, text(1, "") + number(2, 17));
}
inline std::string small_model() { return model_of(small_graph()); }

}  // namespace niwaki::onnx_bytes
