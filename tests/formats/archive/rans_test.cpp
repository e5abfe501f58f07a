#include "formats/archive/rans.h"

#include "tests/formats/archive/archive_samples.h"

namespace niwaki::archive {
namespace {

Bytes decoded(ByteView coded, const Frequencies& table, size_t count) {
  Bytes symbols(count);
  rans_decode(coded, table, symbols);
  return symbols;
}

TEST(Rans, GivesSymbolsBackOnAllNumbersOfLanes) {
  for (const size_t count : {1u, 2u, 7u, 4095u, 4096u, 32767u, 32768u, 32771u, 100000u}) {
    const Bytes symbols = normal_symbols(count, 12);
    const Frequencies table = fit_frequencies(count_symbols(symbols));
    EXPECT_EQ(decoded(rans_encode(symbols, table), table, count), symbols) << count;
  }
  EXPECT_EQ(num_lanes(4095), 1);
  EXPECT_EQ(num_lanes(4096), 2);
  EXPECT_EQ(num_lanes(32768), 8);
}

TEST(Rans, TakesNothingButItsStateForOneSymbol) {
  const Bytes symbols(100000, 5);
  const Frequencies table = fit_frequencies(count_symbols(symbols));
  const Bytes coded = rans_encode(symbols, table);
  EXPECT_EQ(coded.size(), 32u);
  EXPECT_EQ(decoded(coded, table, symbols.size()), symbols);
}

TEST(Rans, StaysWithinHalfAPercentOfTheEntropy) {
  for (const double deviation : {1.0, 8.0, 40.0}) {
    const Bytes symbols = normal_symbols(1'000'000, deviation);
    const Counts counts = count_symbols(symbols);
    EXPECT_LT(static_cast<double>(rans_encode(symbols, fit_frequencies(counts)).size()), 1.005 * entropy_bytes(counts) + 32);
  }
}

TEST(Rans, RefusesWhatIsNotUsedUpExactly) {
  const Bytes symbols = normal_symbols(5000, 12);
  const Frequencies table = fit_frequencies(count_symbols(symbols));
  const Bytes coded = rans_encode(symbols, table);
  const auto refusal = [&](const Bytes& bytes) { return code_of([&] { decoded(bytes, table, symbols.size()); }); };
  for (size_t size = 0; size < coded.size(); size += 97) EXPECT_EQ(refusal(Bytes(coded.begin(), coded.begin() + static_cast<ptrdiff_t>(size))), "E1805");
  Bytes longer = coded;
  longer.insert(longer.end(), {0, 0});
  EXPECT_EQ(refusal(longer), "E1805");
  longer.pop_back();
  EXPECT_EQ(refusal(longer), "E1805");
  Bytes low_state = coded;
  low_state[2] = low_state[3] = 0;
  EXPECT_EQ(refusal(low_state), "E1805");
}

}  // namespace
}  // namespace niwaki::archive
