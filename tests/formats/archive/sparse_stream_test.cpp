#include "formats/archive/sparse_stream.h"

#include "tests/formats/archive/archive_samples.h"

namespace niwaki::archive {
namespace {

Bytes decoded(ByteView coded, size_t count) {
  Bytes symbols(count);
  decode_sparse(coded, symbols);
  return symbols;
}

TEST(SparseStream, TakesAnyMostFrequentSymbolForZero) {
  for (const uint8_t zero : {uint8_t{0}, uint8_t{128}, uint8_t{8}}) {
    const Bytes symbols = structured_mask(200, 300, 0.05, zero);
    const auto coded = encode_sparse(symbols, 300, Codec::automatic);
    ASSERT_TRUE(coded);
    EXPECT_TRUE(is_sparse(*coded));
    EXPECT_LT(coded->size(), encode_symbols(symbols, Codec::automatic).size());
    EXPECT_EQ(decoded(*coded, symbols.size()), symbols);
  }
}

TEST(SparseStream, WalksDownTheColumnsWhereThatIsSmaller) {
  const size_t rows = 90, columns = 70;
  const Bytes straight = structured_mask(columns, rows, 0.1, 0);
  Bytes turned(straight.size());
  for (size_t r = 0; r < rows; ++r) {
    for (size_t c = 0; c < columns; ++c) turned[r * columns + c] = straight[c * rows + r];
  }
  const auto a = encode_sparse(straight, rows, Codec::automatic), b = encode_sparse(turned, columns, Codec::automatic);
  EXPECT_LE(b->size(), a->size() + 4);
  EXPECT_EQ(decoded(*b, turned.size()), turned);
}

TEST(SparseStream, HandlesNothingButZerosAndNoRows) {
  for (const size_t count : {1u, 2u, 255u, 5000u}) {
    const Bytes zeros(count, 3);
    const auto coded = encode_sparse(zeros, 0, Codec::automatic);
    ASSERT_TRUE(coded);
    EXPECT_EQ(decoded(*coded, count), zeros);
    Bytes last = zeros;
    last.back() = 9;
    if (const auto other = encode_sparse(last, count, Codec::automatic)) {
      EXPECT_EQ(decoded(*other, count), last);
    }
  }
  EXPECT_FALSE(encode_sparse(Bytes{}, 0, Codec::automatic));
  EXPECT_FALSE(encode_sparse(normal_symbols(1000, 50), 10, Codec::automatic));
}

TEST(SparseStream, SurvivesEveryDamagedByte) {
  const Bytes symbols = structured_mask(20, 30, 0.1, 0);
  const Bytes coded = *encode_sparse(symbols, 30, Codec::automatic);
  for (size_t i = 0; i < coded.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      Bytes wrong = coded;
      wrong[i] ^= static_cast<uint8_t>(1 << bit);
      const std::string code = code_of([&] { decoded(wrong, symbols.size()); });
      EXPECT_TRUE(code.empty() || code == "E1804" || code == "E1805") << i << " " << code;
    }
    EXPECT_NE(code_of([&] { decoded(ByteView(coded).first(i), symbols.size()); }), "");
  }
}

}  // namespace
}  // namespace niwaki::archive
