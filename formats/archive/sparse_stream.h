#pragma once

#include <optional>

#include "formats/archive/symbol_stream.h"

namespace niwaki::archive {

/// Codes bytes most of which are one value, the zero, whatever its code: where the others are, then what they are.
/// `columns` is the length of a row, or 0 where there are no rows. Nothing where that cannot pay.
std::optional<Bytes> encode_sparse(ByteView symbols, uint64_t columns, Codec codec);
/// E1804 and E1805 where the bytes are no such stream.
void decode_sparse(ByteView coded, std::span<uint8_t> symbols);
bool is_sparse(ByteView coded);

}  // namespace niwaki::archive
