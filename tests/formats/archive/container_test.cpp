#include "formats/archive/container.h"

#include "tests/formats/archive/archive_samples.h"

namespace niwaki::archive {
namespace {

const Bytes kRest = {0, 0, 'r', 'e', 's', 't'}, kPart = {0, 0, 'p', 'a', 'r', 't'};

Contents contents() {
  Contents all{.sha256 = std::string(64, 'a'), .model_bytes = 8, .side_files = {{"w.data", 4}}};
  all.streams = {{.bytes = 4, .coded = kRest}, {.bytes = 4, .coded = kPart}};
  all.placements = {{.offset = 2, .stream = 1}, {.offset = 8, .stream = 1}};
  return all;
}

std::string refusal(const Contents& all, const Limits& limits = {}) {
  const Bytes bytes = write_container(all);
  return code_of([&] { read_container(bytes, limits); });
}

TEST(Container, ReadsBackWhatItWrote) {
  const Bytes bytes = write_container(contents());
  EXPECT_TRUE(is_archive(bytes));
  const Contents again = read_container(bytes, {});
  EXPECT_EQ(again.sha256, std::string(64, 'a'));
  EXPECT_EQ(again.original_bytes(), 12u);
  ASSERT_EQ(again.side_files.size(), 1u);
  EXPECT_EQ(again.side_files[0].name, "w.data");
  ASSERT_EQ(again.placements.size(), 2u);
  EXPECT_EQ(again.placements[1].offset, 8u);
  EXPECT_EQ(Bytes(again.streams[1].coded.begin(), again.streams[1].coded.end()), kPart);
}

TEST(Container, RefusesEveryCutAndEveryFlippedBit) {
  const Bytes bytes = write_container(contents());
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_EQ(code_of([&] { read_container(ByteView(bytes).first(size), {}); }).substr(0, 3), "E18") << size;
  }
  for (size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    Bytes wrong = bytes;
    wrong[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    EXPECT_EQ(code_of([&] { read_container(wrong, {}); }).substr(0, 3), "E18") << bit;
  }
  Bytes longer = bytes;
  longer.push_back(0);
  EXPECT_EQ(code_of([&] { read_container(longer, {}); }), "E1802");
}

TEST(Container, RefusesIndicesThatLieWithRightChecksums) {
  Contents outside = contents();
  outside.placements[1].offset = 9;
  EXPECT_EQ(refusal(outside), "E1802");
  Contents unknown = contents();
  unknown.placements[0].stream = 0;
  EXPECT_EQ(refusal(unknown), "E1802");
  Contents short_rest = contents();
  short_rest.streams[0].bytes = 3;
  EXPECT_EQ(refusal(short_rest), "E1802");
  for (const char* name : {"", ".", "..", "a/b", "/etc/passwd", "a\\b", "c:x", "a\nb"}) {
    Contents named = contents();
    named.side_files[0].name = name;
    EXPECT_EQ(refusal(named), "E1805") << name;
  }
}

TEST(Container, AsksBeforeItGrowsWithoutBound) {
  Contents large = contents();
  large.model_bytes = uint64_t{1} << 40;
  EXPECT_EQ(refusal(large), "E1004");
  large.model_bytes = uint64_t{1} << 62;
  large.side_files[0].bytes = uint64_t{1} << 62;
  EXPECT_EQ(refusal(large), "E1004");
}

}  // namespace
}  // namespace niwaki::archive
