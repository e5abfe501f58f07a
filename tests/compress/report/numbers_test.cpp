#include "compress/report/numbers.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

TEST(Numbers, ZeroHasNoSign) {
  EXPECT_EQ(fixed(-0.001, 2), "0.00");
  EXPECT_EQ(fixed(-0.01, 2), "-0.01");
  EXPECT_EQ(with_sign(0.18, 2), "+0.18");
  EXPECT_EQ(with_sign(-0.39, 2), "-0.39");
  EXPECT_EQ(with_sign(0.001, 2), "0.00");
}

TEST(Numbers, ReadLikeText) {
  EXPECT_EQ(plain(1), "1");
  EXPECT_EQ(plain(0.05), "0.05");
  EXPECT_EQ(grouped(272474), "272,474");
  EXPECT_EQ(grouped(-1234), "-1,234");
  EXPECT_EQ(grouped(-123), "-123");
  EXPECT_EQ(grouped(999), "999");
  EXPECT_EQ(grouped(1000000), "1,000,000");
}

TEST(Numbers, SizesAreDecimal) {
  EXPECT_EQ(size_text(31), "31 B");
  EXPECT_EQ(size_text(271920), "272 kB");
  EXPECT_EQ(size_text(1092345), "1.09 MB");
  EXPECT_EQ(size_text(329020, 1092345), "0.33 MB");
  EXPECT_EQ(size_text(25700000), "25.7 MB");
  EXPECT_EQ(size_text(3900000000.0), "3.90 GB");
}

TEST(Numbers, Durations) {
  EXPECT_EQ(duration_text(13.4), "13.4 s");
  EXPECT_EQ(duration_text(250), "4 min 10 s");
  EXPECT_EQ(duration_text(7500), "2 h 05 min");
}

}  // namespace
}  // namespace niwaki
