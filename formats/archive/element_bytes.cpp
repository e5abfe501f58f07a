#include "formats/archive/element_bytes.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

namespace niwaki::archive {
namespace {

uint64_t element_at(ByteView payload, int width, size_t i) {
  uint64_t value = 0;
  for (int k = width; k-- > 0;) value = value << 8 | payload[i * width + k];
  return value;
}

void put_element(std::span<uint8_t> payload, int width, size_t i, uint64_t value) {
  for (int k = 0; k < width; ++k) payload[i * width + k] = static_cast<uint8_t>(value >> 8 * k);
}

/// Sorts as the numbers do: negative ones first, by magnitude downward.
uint64_t sort_key(uint64_t value, int width) {
  const uint64_t sign = uint64_t{1} << (8 * width - 1);
  return value & sign ? 2 * sign - 1 - value : value | sign;
}

}  // namespace

Bytes nibbles(ByteView payload) {
  Bytes symbols(payload.size() * 2);
  for (size_t i = 0; i < payload.size(); ++i) {
    symbols[2 * i] = payload[i] & 15;
    symbols[2 * i + 1] = payload[i] >> 4;
  }
  return symbols;
}

void join_nibbles(ByteView symbols, std::span<uint8_t> payload) {
  for (size_t i = 0; i < payload.size(); ++i) {
    if (symbols[2 * i] > 15 || symbols[2 * i + 1] > 15) refuse("E1805", "the archive is damaged: a nibble of more than four bits");
    payload[i] = static_cast<uint8_t>(symbols[2 * i] | symbols[2 * i + 1] << 4);
  }
}

Bytes plane(ByteView payload, int width, int i) {
  Bytes bytes(payload.size() / width);
  for (size_t k = 0; k < bytes.size(); ++k) bytes[k] = payload[k * width + i];
  return bytes;
}

Bytes rotate_left(ByteView payload, int width) {
  Bytes turned(payload.size());
  for (size_t i = 0; i < payload.size() / width; ++i) {
    const uint64_t value = element_at(payload, width, i);
    put_element(turned, width, i, value << 1 | (value >> (8 * width - 1) & 1));
  }
  return turned;
}

void rotate_right(std::span<uint8_t> payload, int width) {
  for (size_t i = 0; i < payload.size() / width; ++i) {
    const uint64_t value = element_at(payload, width, i);
    put_element(payload, width, i, value >> 1 | (value & 1) << (8 * width - 1));
  }
}

std::optional<std::vector<uint64_t>> distinct_elements(ByteView payload, int width, size_t most) {
  std::unordered_set<uint64_t> seen;
  uint64_t before = 0;
  for (size_t i = 0; i < payload.size() / width; ++i) {
    const uint64_t value = element_at(payload, width, i);
    if (i > 0 && value == before) continue;
    before = value;
    seen.insert(value);
    if (seen.size() > most) return std::nullopt;
  }
  if (seen.empty()) return std::nullopt;
  std::vector<uint64_t> elements(seen.begin(), seen.end());
  std::ranges::sort(elements, {}, [&](uint64_t value) { return sort_key(value, width); });
  return elements;
}

Bytes joined_elements(const std::vector<uint64_t>& elements, int width) {
  Bytes bytes(elements.size() * width);
  for (size_t i = 0; i < elements.size(); ++i) put_element(bytes, width, i, elements[i]);
  return bytes;
}

Bytes indices_of(ByteView payload, int width, const std::vector<uint64_t>& elements) {
  std::unordered_map<uint64_t, uint8_t> places;
  for (size_t i = 0; i < elements.size(); ++i) places[elements[i]] = static_cast<uint8_t>(i);
  Bytes indices(payload.size() / width);
  for (size_t i = 0; i < indices.size(); ++i) indices[i] = places.at(element_at(payload, width, i));
  return indices;
}

}  // namespace niwaki::archive
