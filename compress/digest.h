#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace niwaki {

/// SHA-256 of what comes in pieces.
class Sha256 {
 public:
  void update(std::span<const std::byte> bytes);
  /// 64 lowercase hexadecimal digits; nothing may be added afterwards.
  std::string hex();

 private:
  std::array<uint32_t, 8> state_ = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                    0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<std::byte, 64> block_{};
  uint64_t total_ = 0;
};

/// SHA-256 as 64 lowercase hexadecimal digits.
std::string sha256(std::span<const std::byte> bytes);

/// SHA-1 as 40 lowercase hexadecimal digits: what ONNX files call the checksum of their external data, no protection.
std::string sha1(std::span<const std::byte> bytes);

}  // namespace niwaki
