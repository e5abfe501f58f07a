#pragma once

#include <bit>
#include <cstdint>
#include <span>
#include <vector>

#include "compress/error.h"

namespace niwaki::archive {

using Bytes = std::vector<uint8_t>;
using ByteView = std::span<const uint8_t>;

/// Refuses an archive; `code` is one of E1801 to E1805.
[[noreturn]] inline void refuse(const char* code, const std::string& what) {
  throw ModelError(code, what, {.help = "copy or download the archive again, or pack the model again"});
}

inline void put_varint(Bytes& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<uint8_t>(value | 0x80));
  out.push_back(static_cast<uint8_t>(value));
}
inline void put_u32(Bytes& out, uint32_t value) {
  for (int i = 0; i < 4; ++i) out.push_back(static_cast<uint8_t>(value >> 8 * i));
}
inline void put_bytes(Bytes& out, ByteView bytes) { out.insert(out.end(), bytes.begin(), bytes.end()); }

/// Reads what put_* wrote; running out of bytes is refused with `code`.
class ByteReader {
 public:
  explicit ByteReader(ByteView bytes, const char* code = "E1805") : bytes_(bytes), code_(code) {}

  uint8_t byte() { return take(1)[0]; }
  uint32_t u32() {
    const ByteView four = take(4);
    return uint32_t{four[0]} | uint32_t{four[1]} << 8 | uint32_t{four[2]} << 16 | uint32_t{four[3]} << 24;
  }
  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 63; shift += 7) {
      const uint64_t next = byte();
      value |= (next & 0x7f) << shift;
      if (next < 0x80) return value;
    }
    refuse(code_, "the archive is damaged: a number has more than 63 bits");
  }
  ByteView take(uint64_t count) {
    if (count > left()) refuse(code_, "the archive is damaged: a part of it ends early");
    const ByteView part = bytes_.subspan(at_, count);
    at_ += count;
    return part;
  }
  ByteView rest() { return take(left()); }
  uint64_t left() const { return bytes_.size() - at_; }
  void require_end() const {
    if (left() > 0) refuse(code_, "the archive is damaged: bytes are left behind its end");
  }

 private:
  ByteView bytes_;
  const char* code_;
  size_t at_ = 0;
};

}  // namespace niwaki::archive
