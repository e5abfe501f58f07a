#pragma once

#include "formats/archive/bytes.h"

namespace niwaki::archive {

/// One zstd frame.
Bytes zstd_compress(ByteView bytes, int level);
/// Fills `out` exactly, or E1804 (another size) and E1805 (damaged).
void zstd_decompress(ByteView frame, std::span<uint8_t> out);

}  // namespace niwaki::archive
