#include "formats/archive/element_bytes.h"

#include <cstring>

#include "tests/formats/archive/archive_samples.h"

namespace niwaki::archive {
namespace {

Bytes floats(const std::vector<float>& numbers) {
  Bytes bytes(numbers.size() * 4);
  std::memcpy(bytes.data(), numbers.data(), bytes.size());
  return bytes;
}

TEST(ElementBytes, SplitAndJoinNibbles) {
  const Bytes payload = {0x21, 0xf0};
  EXPECT_EQ(nibbles(payload), (Bytes{1, 2, 0, 15}));
  Bytes again(2);
  join_nibbles(nibbles(payload), again);
  EXPECT_EQ(again, payload);
  EXPECT_EQ(code_of([&] { join_nibbles(Bytes{1, 16, 0, 0}, again); }), "E1805");
}

TEST(ElementBytes, TurnTheSignOutOfTheExponent) {
  const Bytes turned = rotate_left(floats({-1.5f}), 4);        // bf c0 00 00
  EXPECT_EQ(turned, (Bytes{0x01, 0x00, 0x80, 0x7f}));
  Bytes back = turned;
  rotate_right(back, 4);
  EXPECT_EQ(back, floats({-1.5f}));
  EXPECT_EQ(plane(turned, 4, 3), Bytes{0x7f});
}

TEST(ElementBytes, SortDistinctNumbers) {
  const Bytes payload = floats({2, -1, 0, 2, -3, -1});
  const auto elements = distinct_elements(payload, 4, 256);
  ASSERT_TRUE(elements);
  EXPECT_EQ(joined_elements(*elements, 4), floats({-3, -1, 0, 2}));
  EXPECT_EQ(indices_of(payload, 4, *elements), (Bytes{3, 1, 2, 3, 0, 1}));
  EXPECT_FALSE(distinct_elements(payload, 4, 3));
}

}  // namespace
}  // namespace niwaki::archive
