#pragma once

#include "formats/archive/symbol_stream.h"

namespace niwaki::archive {

/// What is known about the numbers of a payload: it decides what is tried, and is not stored.
struct ElementLayout {
  int bits = 8;                              // of an element: 2, 4, 8, 16, 32, 64
  bool is_float = false;
  uint64_t columns = 0;                      // elements of a row; 0: no rows
};

/// The first byte of a coded payload: how its elements become bytes.
enum class TensorKind : uint8_t { bytes, nibbles, palette, planes, rotated_planes };

/// The cheapest exact form of a payload: bytes or nibbles, plain or sparse; a palette of at most 256 elements and indices into it;
/// one stream per byte of an element.
Bytes encode_tensor(ByteView payload, const ElementLayout& layout, Codec codec);
/// E1804 and E1805 where the bytes are no such payload.
void decode_tensor(ByteView coded, std::span<uint8_t> payload);

/// Bytes of the order-0 entropy of the elements where they have at most 256 values, else of the bytes' planes.
double entropy_floor(ByteView payload, const ElementLayout& layout);
/// "symbols, 8 lanes" for people: what a coded payload is.
std::string kind_text(ByteView coded);

}  // namespace niwaki::archive
