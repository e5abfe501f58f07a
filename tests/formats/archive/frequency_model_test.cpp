#include "formats/archive/frequency_model.h"

#include <numeric>

#include "tests/formats/archive/archive_samples.h"

namespace niwaki::archive {
namespace {

int64_t sum(const Frequencies& table) { return std::accumulate(table.of.begin(), table.of.end(), int64_t{0}); }

TEST(FrequencyModel, SumsToItsScaleAndKeepsRareSymbols) {
  for (const double deviation : {0.3, 2.0, 30.0, 90.0}) {
    const Counts counts = count_symbols(normal_symbols(50000, deviation));
    const Frequencies table = fit_frequencies(counts);
    EXPECT_EQ(sum(table), int64_t{1} << table.log2_total);
    for (int i = 0; i < 256; ++i) EXPECT_EQ(table.of[i] > 0, counts[i] > 0);
    EXPECT_LT(static_cast<double>(cost(counts, table)) / 65536 / 8, 1.002 * entropy_bytes(counts) + 2);
  }
}

TEST(FrequencyModel, GivesOneSymbolAll) {
  const Frequencies table = fit_frequencies(count_symbols(Bytes(10, 77)));
  EXPECT_EQ(table.of[77], 1 << table.log2_total);
  EXPECT_EQ(cost(count_symbols(Bytes(10, 77)), table), 0u);
}

TEST(FrequencyModel, ReadsItsTableBack) {
  for (const double deviation : {0.3, 5.0, 60.0}) {
    const Frequencies table = fit_frequencies(count_symbols(normal_symbols(3000, deviation)));
    Bytes bytes;
    write_frequencies(bytes, table);
    bytes.push_back(99);
    ByteReader reader(bytes);
    const Frequencies again = read_frequencies(reader);
    EXPECT_EQ(again.of, table.of);
    EXPECT_EQ(again.log2_total, table.log2_total);
    EXPECT_EQ(reader.byte(), 99);
  }
}

TEST(FrequencyModel, RefusesTablesThatDoNotSumToTheirScale) {
  Frequencies table = fit_frequencies(count_symbols(normal_symbols(3000, 5)));
  ++table.of[0];
  Bytes bytes;
  write_frequencies(bytes, table);
  ByteReader reader(bytes);
  EXPECT_EQ(code_of([&] { read_frequencies(reader); }), "E1805");
}

TEST(FrequencyModel, FindsTheShapeOfItsSymbols) {
  const Bytes symbols = normal_symbols(20000, 25);
  const Counts counts = count_symbols(symbols);
  const Shape shape = fit_shape(counts, 0);
  EXPECT_EQ(shape.power, 2);
  const Frequencies table = frequencies_of(shape);
  EXPECT_EQ(sum(table), 1 << 14);
  EXPECT_LT(static_cast<double>(cost(counts, table)) / 65536 / 8, 1.01 * entropy_bytes(counts));
}

TEST(FrequencyModel, LeavesOutACenterThatNeverComes) {
  Bytes symbols = normal_symbols(5000, 10);
  std::erase(symbols, 0);
  const Shape shape = fit_shape(count_symbols(symbols), 0);
  EXPECT_TRUE(shape.skips_center);
  EXPECT_EQ(frequencies_of(shape).of[shape.center], 0);
}

TEST(FrequencyModel, ReadsItsShapeBackAndRefusesOthers) {
  const Shape shape = fit_shape(count_symbols(normal_symbols(500, 10)), 0);
  Bytes bytes;
  write_shape(bytes, shape);
  ByteReader reader(bytes);
  EXPECT_EQ(frequencies_of(read_shape(reader)).of, frequencies_of(shape).of);
  for (const Bytes& wrong : {Bytes{3, 0, 0, 255, 0}, Bytes{8, 0, 0, 255, 0}, Bytes{0, 0, 9, 8, 0}, Bytes{0, 0, 0, 255, 192}, Bytes{0, 0, 0}}) {
    EXPECT_EQ(code_of([&] {
                ByteReader bad(wrong);
                read_shape(bad);
              }),
              "E1805");
  }
  EXPECT_EQ(code_of([] { frequencies_of({.skips_center = true, .low = 128, .high = 128}); }), "E1805");
}

}  // namespace
}  // namespace niwaki::archive
