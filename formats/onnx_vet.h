#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "formats/limits.h"

namespace niwaki {

/// The newest ONNX file version that this release knows.
inline constexpr int64_t kNewestIrVersion = 14;

/// Scans a serialized ModelProto before any library allocates by its numbers; throws with byte and
/// field path.
void vet_onnx(std::span<const std::byte> bytes, const Limits& limits, const std::string& name);

}  // namespace niwaki
