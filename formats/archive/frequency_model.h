#pragma once

#include <array>

#include "formats/archive/bytes.h"

namespace niwaki::archive {

/// How often each byte value comes, out of 2^log2_total; 0: never.
struct Frequencies {
  int log2_total = 12;
  std::array<uint16_t, 256> of{};
};

using Counts = std::array<uint64_t, 256>;
Counts count_symbols(ByteView symbols);

/// Bits that symbols with these counts take, times 2^16, at the rate of the table alone.
uint64_t cost(const Counts& counts, const Frequencies& table);
/// Bytes of the order-0 entropy.
double entropy_bytes(const Counts& counts);

/// The table of least cost: every symbol that occurs gets at least 1 (algorithms.md 9.3).
Frequencies fit_frequencies(const Counts& counts);
/// Support and differences in Exp-Golomb codes.
void write_frequencies(Bytes& out, const Frequencies& table);
/// E1805 where the frequencies do not sum to their total.
Frequencies read_frequencies(ByteReader& reader);

/// A table of six bytes: weights 2^(-scale * |distance|^power) around a centre, in integers alone.
struct Shape {
  uint8_t power = 0;                         // 0: 1 (Laplace), 1: 1.5, 2: 2 (Gauss)
  bool skips_center = false;                 // the centre never comes: it was coded elsewhere
  uint8_t center = 0, low = 0, high = 255;   // support, as symbol - center + 128
  uint8_t scale = 0;
};
/// E1805 where a shape is none.
Frequencies frequencies_of(const Shape& shape);
/// The shape of least cost; `center_hint` is a symbol that others may lie around.
Shape fit_shape(const Counts& counts, uint8_t center_hint);
void write_shape(Bytes& out, const Shape& shape);
Shape read_shape(ByteReader& reader);

}  // namespace niwaki::archive
