#pragma once

#include "formats/archive/bytes.h"

namespace niwaki::archive {

/// Bits from the high end of each byte.
class BitWriter {
 public:
  void put(uint32_t value, int bits) {
    for (int i = bits; i-- > 0;) {
      if (used_ == 0) bytes_.push_back(0);
      bytes_.back() |= static_cast<uint8_t>((value >> i & 1) << (7 - used_));
      used_ = (used_ + 1) % 8;
    }
  }
  /// Exp-Golomb code: the Elias gamma code of value / 2^order + 1, then the low bits.
  void put_golomb(uint32_t value, int order) {
    const uint32_t high = (value >> order) + 1;
    const int width = std::bit_width(high);
    put(0, width - 1);
    put(high, width);
    put(value & ((1u << order) - 1), order);
  }
  Bytes finish() { return std::move(bytes_); }

 private:
  Bytes bytes_;
  int used_ = 0;                             // bits of the last byte
};

/// Reads what a BitWriter wrote; takes whole bytes from its source, as it needs them.
class BitReader {
 public:
  explicit BitReader(ByteReader& source) : source_(source) {}
  uint32_t get(int bits) {
    uint32_t value = 0;
    for (int i = 0; i < bits; ++i) {
      if (left_ == 0) byte_ = source_.byte(), left_ = 8;
      value = value << 1 | (byte_ >> --left_ & 1u);
    }
    return value;
  }
  uint32_t get_golomb(int order) {
    int zeros = 0;
    while (get(1) == 0) {
      if (++zeros > 16) refuse("E1805", "the archive is damaged: a number of an entropy table is too long");
    }
    const uint32_t high = (1u << zeros | get(zeros)) - 1;
    return high << order | get(order);
  }

 private:
  ByteReader& source_;
  uint8_t byte_ = 0;
  int left_ = 0;
};

}  // namespace niwaki::archive
