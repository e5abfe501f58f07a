#include "compress/digest.h"

#include <algorithm>
#include <bit>

namespace niwaki {
namespace {

constexpr uint32_t kRound[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

uint32_t big_endian(const std::byte* p) {
  return std::to_integer<uint32_t>(p[0]) << 24 | std::to_integer<uint32_t>(p[1]) << 16 |
         std::to_integer<uint32_t>(p[2]) << 8 | std::to_integer<uint32_t>(p[3]);
}

/// One round; the caller rotates the roles of the variables instead of their values.
inline void turn(uint32_t a, uint32_t b, uint32_t c, uint32_t& d, uint32_t e, uint32_t f,
                 uint32_t g, uint32_t& h, uint32_t word) {
  h += (std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25)) + (g ^ (e & (f ^ g))) + word;
  d += h;
  h += (std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22)) + ((a & b) | (c & (a | b)));
}

void compress(std::array<uint32_t, 8>& state, const std::byte* block) {
  uint32_t w[64];
  for (int i = 0; i < 16; ++i) w[i] = big_endian(block + 4 * i);
  for (int i = 16; i < 64; ++i) {
    const uint32_t x = w[i - 15], y = w[i - 2];
    w[i] = w[i - 16] + w[i - 7] + (std::rotr(x, 7) ^ std::rotr(x, 18) ^ (x >> 3)) +
           (std::rotr(y, 17) ^ std::rotr(y, 19) ^ (y >> 10));
  }
  auto [a, b, c, d, e, f, g, h] = state;
  for (int i = 0; i < 64; i += 8) {
    turn(a, b, c, d, e, f, g, h, kRound[i] + w[i]);
    turn(h, a, b, c, d, e, f, g, kRound[i + 1] + w[i + 1]);
    turn(g, h, a, b, c, d, e, f, kRound[i + 2] + w[i + 2]);
    turn(f, g, h, a, b, c, d, e, kRound[i + 3] + w[i + 3]);
    turn(e, f, g, h, a, b, c, d, kRound[i + 4] + w[i + 4]);
    turn(d, e, f, g, h, a, b, c, kRound[i + 5] + w[i + 5]);
    turn(c, d, e, f, g, h, a, b, kRound[i + 6] + w[i + 6]);
    turn(b, c, d, e, f, g, h, a, kRound[i + 7] + w[i + 7]);
  }
  const uint32_t sum[8] = {a, b, c, d, e, f, g, h};
  for (int i = 0; i < 8; ++i) state[i] += sum[i];
}

void compress_sha1(std::array<uint32_t, 5>& state, const std::byte* block) {
  uint32_t w[80];
  for (int i = 0; i < 16; ++i) w[i] = big_endian(block + 4 * i);
  for (int i = 16; i < 80; ++i) w[i] = std::rotl(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
  auto [a, b, c, d, e] = state;
  constexpr uint32_t kAdded[4] = {0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6};
  for (int i = 0; i < 80; ++i) {
    const uint32_t choice = (b & c) | (~b & d), majority = (b & c) | (b & d) | (c & d);
    const uint32_t mixed = i < 20 ? choice : i >= 40 && i < 60 ? majority : b ^ c ^ d;
    const uint32_t next = std::rotl(a, 5) + mixed + e + kAdded[i / 20] + w[i];
    e = d;
    d = c;
    c = std::rotl(b, 30);
    b = a;
    a = next;
  }
  const uint32_t sum[5] = {a, b, c, d, e};
  for (size_t i = 0; i < 5; ++i) state[i] += sum[i];
}

std::string hex_text(std::span<const uint32_t> words) {
  std::string text;
  for (const uint32_t word : words) {
    for (int shift = 28; shift >= 0; shift -= 4) text += "0123456789abcdef"[word >> shift & 15];
  }
  return text;
}

}  // namespace

void Sha256::update(std::span<const std::byte> bytes) {
  const size_t filled = total_ % 64;
  total_ += bytes.size();
  if (filled > 0) {
    const size_t step = std::min(bytes.size(), 64 - filled);
    std::copy_n(bytes.begin(), step, block_.begin() + filled);
    bytes = bytes.subspan(step);
    if (filled + step < 64) return;
    compress(state_, block_.data());
  }
  for (; bytes.size() >= 64; bytes = bytes.subspan(64)) compress(state_, bytes.data());
  std::copy(bytes.begin(), bytes.end(), block_.begin());
}

std::string Sha256::hex() {
  const uint64_t bits = total_ * 8;
  const std::byte one{0x80};
  update({&one, 1});
  const std::array<std::byte, 64> zeros{};
  update(std::span(zeros).first((120 - total_ % 64) % 64));
  std::array<std::byte, 8> length;
  for (int i = 0; i < 8; ++i) length[i] = static_cast<std::byte>(bits >> (56 - 8 * i));
  update(length);
  return hex_text(state_);
}

std::string sha1(std::span<const std::byte> bytes) {
  std::array<uint32_t, 5> state = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
  const size_t whole = bytes.size() / 64 * 64;
  for (size_t at = 0; at < whole; at += 64) compress_sha1(state, bytes.data() + at);
  std::array<std::byte, 128> tail{};
  const auto rest = bytes.subspan(whole);
  std::copy(rest.begin(), rest.end(), tail.begin());
  tail[rest.size()] = std::byte{0x80};
  const size_t end = rest.size() < 56 ? 64 : 128;
  const uint64_t bits = uint64_t{bytes.size()} * 8;
  for (size_t i = 0; i < 8; ++i) tail[end - 1 - i] = static_cast<std::byte>(bits >> (8 * i));
  for (size_t at = 0; at < end; at += 64) compress_sha1(state, tail.data() + at);
  return hex_text(state);
}

std::string sha256(std::span<const std::byte> bytes) {
  Sha256 digest;
  digest.update(bytes);
  return digest.hex();
}

}  // namespace niwaki
