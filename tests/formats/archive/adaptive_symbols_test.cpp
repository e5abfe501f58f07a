#include "formats/archive/adaptive_symbols.h"

#include "formats/archive/frequency_model.h"
#include "tests/formats/archive/archive_samples.h"

namespace niwaki::archive {
namespace {

Bytes decoded(const Bytes& coded, uint8_t center, size_t count) {
  Bytes symbols(count);
  decode_adaptive(coded, center, symbols);
  return symbols;
}

TEST(AdaptiveSymbols, GiveEveryByteBackAroundAnyCenter) {
  Bytes all;
  for (int i = 0; i < 512; ++i) all.push_back(static_cast<uint8_t>(i));
  for (const int center : {0, 1, 127, 128, 255}) {
    EXPECT_EQ(decoded(encode_adaptive(all, static_cast<uint8_t>(center)), static_cast<uint8_t>(center), all.size()), all);
  }
}

TEST(AdaptiveSymbols, ComeNearTheEntropyWithoutATable) {
  const Bytes symbols = normal_symbols(20000, 20);
  const double floor = entropy_bytes(count_symbols(symbols));
  EXPECT_LT(static_cast<double>(encode_adaptive(symbols, 0).size()), 1.02 * floor + 100);
}

TEST(AdaptiveSymbols, RefuseBytesTooFewOrTooMany) {
  const Bytes symbols = normal_symbols(300, 20);
  Bytes coded = encode_adaptive(symbols, 0);
  EXPECT_EQ(code_of([&] { decoded(Bytes(coded.begin(), coded.end() - 1), 0, symbols.size()); }), "E1805");
  coded.push_back(0);
  EXPECT_EQ(code_of([&] { decoded(coded, 0, symbols.size()); }), "E1805");
}

}  // namespace
}  // namespace niwaki::archive
