#pragma once

#include <optional>

#include "formats/archive/bytes.h"

namespace niwaki::archive {

/// Low nibble first, two symbols per byte.
Bytes nibbles(ByteView payload);
/// E1805 where a symbol has more than four bits.
void join_nibbles(ByteView symbols, std::span<uint8_t> payload);

/// Byte i of every element of `width` bytes.
Bytes plane(ByteView payload, int width, int i);
/// Turns every little-endian element by one bit: the sign leaves the exponent's byte.
Bytes rotate_left(ByteView payload, int width);
void rotate_right(std::span<uint8_t> payload, int width);

/// The distinct elements in the order of numbers with a sign in the highest bit, or nothing where there are more than `most`.
std::optional<std::vector<uint64_t>> distinct_elements(ByteView payload, int width, size_t most);
Bytes joined_elements(const std::vector<uint64_t>& elements, int width);
/// Where each element stands among the distinct ones.
Bytes indices_of(ByteView payload, int width, const std::vector<uint64_t>& elements);

}  // namespace niwaki::archive
