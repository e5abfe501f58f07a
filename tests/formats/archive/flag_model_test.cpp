#include "formats/archive/flag_model.h"

#include "tests/formats/archive/archive_samples.h"

namespace niwaki::archive {
namespace {

size_t coded_bytes(const Bytes& symbols, size_t columns) {
  const auto num_set = symbols.size() - static_cast<size_t>(std::count(symbols.begin(), symbols.end(), 0));
  FlagModel model(symbols.size(), columns, num_set);
  RangeEncoder encoder;
  for (const uint8_t symbol : symbols) {
    encoder.put(symbol != 0, model.context());
    model.advance(symbol != 0);
  }
  return encoder.finish().size();
}

double independent_bytes(const Bytes& symbols) {
  const double p = 1 - static_cast<double>(std::count(symbols.begin(), symbols.end(), 0)) / static_cast<double>(symbols.size());
  return static_cast<double>(symbols.size()) * -(p * std::log2(p) + (1 - p) * std::log2(1 - p)) / 8;
}

TEST(FlagModel, UsesTheStructureOfAMask) {
  const Bytes symbols = structured_mask(256, 784, 0.08, 0);
  EXPECT_LT(static_cast<double>(coded_bytes(symbols, 784)), 0.95 * independent_bytes(symbols));
}

TEST(FlagModel, CostsLittleWhereThereIsNone) {
  Bytes symbols = structured_mask(256, 784, 0.08, 0);
  std::mt19937 random(5);
  std::shuffle(symbols.begin(), symbols.end(), random);
  EXPECT_LT(static_cast<double>(coded_bytes(symbols, 784)), 1.03 * independent_bytes(symbols));
}

}  // namespace
}  // namespace niwaki::archive
