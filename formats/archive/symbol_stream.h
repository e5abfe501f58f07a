#pragma once

#include "formats/archive/bytes.h"

namespace niwaki::archive {

/// Which coders may be tried.
enum class Codec : uint8_t { automatic, zstd, rans };

/// How the bytes of a stream are coded; its first byte.
enum class SymbolKind : uint8_t { raw, zstd, explicit_table, shape_table, adaptive, sparse_gaps, sparse_flags };

/// Codes bytes that are independent of their neighbours, the cheapest way by exact size. `center` is a symbol that others may lie
/// around: the zero of a sparse tensor.
Bytes encode_symbols(ByteView symbols, Codec codec, uint8_t center = 0);
/// E1804 and E1805 where the bytes are no such stream.
void decode_symbols(ByteView coded, std::span<uint8_t> symbols);

}  // namespace niwaki::archive
