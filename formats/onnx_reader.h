#pragma once

#include "formats/format.h"

namespace niwaki {

/// Reads an .onnx file: vetted, mapped, parsed once, its external data mapped under the path policy (safety.md 2 to 5).
Model read_onnx(const std::string& path, const ReadOptions& options);

class ExternalData;

/// A model in memory; without `external` it can have no external data.
Graph read_onnx_bytes(std::span<const std::byte> bytes, const ReadOptions& options, Strings* notes = nullptr, ExternalData* external = nullptr);

}  // namespace niwaki
