#include "formats/archive/range_coder.h"

#include "tests/formats/archive/archive_samples.h"

namespace niwaki::archive {
namespace {

std::vector<bool> answers(size_t count, double share) {
  std::mt19937 random(3);
  std::bernoulli_distribution coin(share);
  std::vector<bool> flags(count);
  for (size_t i = 0; i < count; ++i) flags[i] = coin(random);
  return flags;
}

TEST(RangeCoder, GivesAnswersBackAtAnyProbability) {
  for (const double share : {0.0, 0.001, 0.05, 0.5, 0.95, 1.0}) {
    for (const size_t count : {0u, 1u, 2u, 1000u, 50000u}) {
      const std::vector<bool> flags = answers(count, share);
      RangeEncoder encoder;
      AdaptiveBit writing, reading;
      for (const bool flag : flags) encoder.put(flag, writing);
      const Bytes coded = encoder.finish();
      RangeDecoder decoder(coded);
      for (const bool flag : flags) ASSERT_EQ(decoder.get(reading), flag);
      decoder.require_end();
    }
  }
}

TEST(RangeCoder, CarriesThroughRunsOfOnes) {
  RangeEncoder encoder;
  for (int i = 0; i < 4000; ++i) encoder.put(i % 7 == 3, 1 + static_cast<uint32_t>(i * 2654435761u >> 20));
  const Bytes coded = encoder.finish();
  RangeDecoder decoder(coded);
  for (int i = 0; i < 4000; ++i) ASSERT_EQ(decoder.get(1 + static_cast<uint32_t>(i * 2654435761u >> 20)), i % 7 == 3);
  decoder.require_end();
}

TEST(RangeCoder, LearnsTheShare) {
  const std::vector<bool> flags = answers(100000, 0.03);
  RangeEncoder encoder;
  AdaptiveBit context(65536 * 3 / 100);
  for (const bool flag : flags) encoder.put(flag, context);
  const double bits = 100000 * -(0.03 * std::log2(0.03) + 0.97 * std::log2(0.97));
  EXPECT_LT(static_cast<double>(encoder.finish().size()), 1.02 * bits / 8);
}

TEST(RangeCoder, RefusesToEndElsewhere) {
  RangeEncoder encoder;
  AdaptiveBit context;
  for (int i = 0; i < 100; ++i) encoder.put(i % 3 == 0, context);
  Bytes coded = encoder.finish();
  coded.back() ^= 1;
  EXPECT_EQ(code_of([&] {
              RangeDecoder decoder(coded);
              AdaptiveBit reading;
              for (int i = 0; i < 100; ++i) decoder.get(reading);
              decoder.require_end();
            }),
            "E1805");
  EXPECT_EQ(code_of([] { RangeDecoder decoder(Bytes{1, 2, 3}); }), "E1805");
}

}  // namespace
}  // namespace niwaki::archive
