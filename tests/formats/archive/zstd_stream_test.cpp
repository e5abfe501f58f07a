#include "formats/archive/zstd_stream.h"

#include "tests/formats/archive/archive_samples.h"

namespace niwaki::archive {
namespace {

TEST(ZstdStream, FillsExactlyWhatWasPacked) {
  const Bytes text(5000, 'a'), frame = zstd_compress(text, 19);
  EXPECT_LT(frame.size(), 50u);
  Bytes out(5000);
  zstd_decompress(frame, out);
  EXPECT_EQ(out, text);
}

TEST(ZstdStream, RefusesOtherSizesAndDamage) {
  const Bytes frame = zstd_compress(normal_symbols(1000, 10), 3);
  Bytes larger(1001), right(1000);
  EXPECT_EQ(code_of([&] { zstd_decompress(frame, larger); }), "E1804");
  EXPECT_EQ(code_of([&] { zstd_decompress(Bytes(frame.begin(), frame.end() - 1), right); }), "E1805");
  EXPECT_EQ(code_of([&] { zstd_decompress(Bytes{1, 2, 3}, right); }), "E1805");
  Bytes twice = frame;
  put_bytes(twice, frame);
  EXPECT_EQ(code_of([&] { zstd_decompress(twice, right); }), "E1805");
}

}  // namespace
}  // namespace niwaki::archive
