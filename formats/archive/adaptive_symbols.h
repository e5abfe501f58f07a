#pragma once

#include "formats/archive/bytes.h"

namespace niwaki::archive {

/// Codes bytes without a table: the distance to `center` by its width, its sign and its bits, each with counts of its own.
Bytes encode_adaptive(ByteView symbols, uint8_t center);
/// E1805 unless every byte is used.
void decode_adaptive(ByteView coded, uint8_t center, std::span<uint8_t> symbols);

}  // namespace niwaki::archive
