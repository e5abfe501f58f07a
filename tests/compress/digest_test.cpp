#include "compress/digest.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

std::string digest_of(const std::string& text) { return sha256(std::as_bytes(std::span(text))); }

TEST(Digest, FipsVectors) {
  EXPECT_EQ(digest_of(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(digest_of("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(digest_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(digest_of(std::string(1000000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha1, Rfc3174Vectors) {
  const auto of = [](const std::string& text) { return sha1(std::as_bytes(std::span(text))); };
  EXPECT_EQ(of(""), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
  EXPECT_EQ(of("abc"), "a9993e364706816aba3e25717850c26c9cd0d89d");
  EXPECT_EQ(of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"), "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
  EXPECT_EQ(of(std::string(1000000, 'a')), "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
}

TEST(Digest, PiecesGiveTheDigestOfTheWhole) {
  std::string text;
  for (int i = 0; i < 300; ++i) text += static_cast<char>(i * 7);
  for (size_t length = 0; length <= text.size(); ++length) {
    const auto bytes = std::as_bytes(std::span(text)).first(length);
    Sha256 pieces;
    for (size_t i = 0; i < length; i += 13)
      pieces.update(bytes.subspan(i, std::min<size_t>(13, length - i)));
    EXPECT_EQ(pieces.hex(), sha256(bytes)) << length;
  }
}

}  // namespace
}  // namespace niwaki
