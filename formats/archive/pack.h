#pragma once

#include "formats/archive/tensor_stream.h"
#include "formats/format.h"

namespace niwaki::archive {

struct PackOptions {
  Codec codec = Codec::automatic;
  ReadOptions read;
};

/// A payload that got a stream of its own.
struct PackedTensor {
  std::string name, kind;                    // "bytes, sparse flags"
  uint64_t bytes = 0, coded_bytes = 0;
  double floor_bytes = 0;                    // order-0 entropy
};

struct Packed {
  Bytes archive;
  uint64_t original_bytes = 0;               // with side files
  uint64_t graph_bytes = 0, graph_coded_bytes = 0;   // all outside the tensors below
  uint64_t index_bytes = 0;                  // head, checksums, places
  std::vector<PackedTensor> tensors;         // in the order of the file, duplicates once
};

/// auto, zstd or rans; E2005 for anything else.
Codec codec_named(const std::string& name);

/// Packs an ONNX file and the files of its external data; what unpack_bytes() gives back was compared with them.
Packed pack_model(const std::string& path, const PackOptions& options = {});

}  // namespace niwaki::archive
