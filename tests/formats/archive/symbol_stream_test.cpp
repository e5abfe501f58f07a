#include "formats/archive/symbol_stream.h"

#include "formats/archive/frequency_model.h"
#include "tests/formats/archive/archive_samples.h"

namespace niwaki::archive {
namespace {

SymbolKind kind_of(const Bytes& coded) { return static_cast<SymbolKind>(coded.at(0)); }
Bytes decoded(ByteView coded, size_t count) {
  Bytes symbols(count);
  decode_symbols(coded, symbols);
  return symbols;
}

TEST(SymbolStream, ChoosesAndGivesBack) {
  Bytes noise(3000);
  std::mt19937 random(1);
  for (uint8_t& byte : noise) byte = static_cast<uint8_t>(random());
  Bytes repeated;
  for (int i = 0; i < 20; ++i) put_bytes(repeated, Bytes(noise.begin(), noise.begin() + 300));
  EXPECT_EQ(kind_of(encode_symbols(noise, Codec::automatic)), SymbolKind::raw);
  EXPECT_EQ(kind_of(encode_symbols(repeated, Codec::automatic)), SymbolKind::zstd);
  EXPECT_EQ(kind_of(encode_symbols(normal_symbols(2000, 20), Codec::automatic)), SymbolKind::shape_table);
  Bytes uneven(100000);
  for (uint8_t& byte : uneven) byte = static_cast<uint8_t>(random() % 7 * (random() % 11));
  EXPECT_EQ(kind_of(encode_symbols(uneven, Codec::automatic)), SymbolKind::explicit_table);
  for (const Bytes& symbols : {noise, repeated, uneven, normal_symbols(2000, 20), normal_symbols(70000, 3), Bytes{}, Bytes{7}}) {
    for (const Codec codec : {Codec::automatic, Codec::zstd, Codec::rans}) EXPECT_EQ(decoded(encode_symbols(symbols, codec), symbols.size()), symbols);
  }
}

TEST(SymbolStream, AddsOneByteAtMost) {
  Bytes noise(1000);
  std::mt19937 random(1);
  for (uint8_t& byte : noise) byte = static_cast<uint8_t>(random());
  EXPECT_EQ(encode_symbols(noise, Codec::automatic).size(), 1001u);
}

TEST(SymbolStream, RefusesUnknownKindsAndOtherSizes) {
  EXPECT_EQ(code_of([] { decoded(Bytes{9, 1}, 1); }), "E1805");
  EXPECT_EQ(code_of([] { decoded(Bytes{}, 1); }), "E1805");
  EXPECT_EQ(code_of([] { decoded(Bytes{0, 1, 2}, 1); }), "E1804");
}

}  // namespace
}  // namespace niwaki::archive
