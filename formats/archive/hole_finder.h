#pragma once

#include <string>

#include "formats/archive/tensor_stream.h"

namespace niwaki::archive {

/// A run of bytes that are the numbers of one tensor.
struct Hole {
  std::string location;                      // of external data, or "": inside the model
  uint64_t offset = 0, bytes = 0;            // 0 bytes: the file does not say how many
  ElementLayout layout;
  std::string name;                          // of the tensor, for people
};

/// The payloads of all tensors of a vetted ONNX file, wherever they stand: initializers, attributes, bodies, functions.
std::vector<Hole> find_holes(std::span<const std::byte> model);

}  // namespace niwaki::archive
