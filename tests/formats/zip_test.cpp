#include "formats/zip.h"

#include <gtest/gtest.h>

#include "tests/formats/zip_bytes.h"

namespace niwaki {
namespace {

using namespace zip_bytes;
using Entries = std::vector<Entry>;

class Zip : public testing::Test {
 protected:
  std::string code(const std::string& bytes, ZipRules rules = {}) {
    const std::string path = folder_.put("a.zip", bytes);
    return code_of([&] {
      const auto zip = ZipFile::open(path, {}, rules);
      for (const ZipEntry& entry : zip->entries()) zip->verify(entry);
    });
  }
  std::string code(const Entries& entries, ZipRules rules = {}) {
    return code(container(entries), rules);
  }
  static std::function<void(std::string&)> set(size_t at, char value) {
    return [=](std::string& bytes) { bytes[at] = value; };
  }
  Folder folder_;
};

TEST_F(Zip, ReadsStoredAndDeflatedEntries) {
  const std::string zeros(1 << 20, '\0');
  const std::string path = folder_.put(
      "a.zip", container({{"a", "hello"},
                          {.name = "b/c", .data = zeros, .deflate = true, .descriptor = true}}));
  Limits limits;
  limits.inflate_ratio = 10000;
  const auto zip = ZipFile::open(path, limits);
  ASSERT_EQ(zip->entries().size(), 2u);
  EXPECT_EQ(zip->read_all(*zip->find("a"), 100, limits), "hello");
  EXPECT_EQ(zip->read_all(*zip->find("b/c"), 1 << 20, limits), zeros);
  EXPECT_EQ(zip->find("c"), nullptr);
  std::string part(3, ' ');
  zip->read_stored(*zip->find("a"), 1, std::as_writable_bytes(std::span(part)));
  EXPECT_EQ(part, "ell");
  EXPECT_THROW(zip->read_stored(*zip->find("a"), 4, std::as_writable_bytes(std::span(part))),
               InternalError);
  EXPECT_EQ(code_of([&] { zip->read_all(*zip->find("a"), 4, limits); }), "E1602");
  EXPECT_EQ(code_of([&] { zip->read_all(*zip->find("b/c"), 1 << 20, Limits()); }), "E1602")
      << "ratio";
}

TEST_F(Zip, Names) {
  for (const char* name : {"/a", "../a", "a/../b", "a\\b", "C:a", ".."})
    EXPECT_EQ(code(Entries{{name, "x"}}), "E1604") << name;
  EXPECT_EQ(code(Entries{{std::string("a\0b", 3), "x"}}), "E1604");
  EXPECT_EQ(code(Entries{{"", "x"}}), "E1604");
  EXPECT_EQ(code(Entries{{"a", "x"}, {"a", "y"}}), "E1604");
  EXPECT_EQ(code(Entries{{"a", "x"}, {"A", "y"}}), "E1604");
  const ZipRules values{.value_names = true};
  EXPECT_EQ(code(Entries{{"/fc/output", "x"}, {"/FC/output", "y"}}, values), "accepted");
  EXPECT_EQ(code(Entries{{"/fc/output", "x"}, {"/fc/output", "y"}}, values), "E1604");
}

TEST_F(Zip, Methods) {
  EXPECT_EQ(code(Entries{{.name = "a", .data = "x", .flags = 1}}), "E1606");
  EXPECT_EQ(code(Entries{{.name = "a", .data = "x", .flags = 0x40}}), "E1606");
  EXPECT_EQ(code(Entries{{.name = "a", .data = "x", .flags = 0x800}}), "accepted");
  EXPECT_EQ(
      code(Entries{
          {.name = "a", .data = "x", .change_local = set(8, 12), .change_central = set(10, 12)}}),
      "E1606");
}

TEST_F(Zip, HeadersMustAgree) {
  for (const size_t at : {6u, 8u, 14u, 18u, 22u, 30u}) {
    EXPECT_EQ(
        code(Entries{
            {.name = "a", .data = "xy", .change_local = [=](std::string& b) { b[at] ^= 2; }}}),
        "E1603")
        << at;
  }
  EXPECT_EQ(code(Entries{{.name = "a", .data = "x", .descriptor = true}}), "accepted");
  std::string bytes = container({{.name = "a", .data = "x", .descriptor = true}});
  bytes[bytes.find("PK\7\10") + 4] ^= 1;
  EXPECT_EQ(code(bytes), "E1603");
}

TEST_F(Zip, DamagedData) {
  EXPECT_EQ(code(Entries{{.name = "a", .data = "xy", .change_payload = set(0, 'z')}}), "E1607");
  const Entry deflated{.name = "a", .data = std::string(500, 'q') + "tail", .deflate = true};
  for (size_t bit = 0; bit < 8 * zip_bytes::deflated(deflated.data).size(); ++bit) {
    Entry entry = deflated;
    entry.change_payload = [=](std::string& b) { b[bit / 8] ^= static_cast<char>(1 << bit % 8); };
    const std::string got = code(Entries{entry});
    EXPECT_TRUE(got == "E1602" || got == "E1607" || got == "accepted")
        << bit << got;  // padding bits mean nothing
  }
}

TEST_F(Zip, LayoutIsExact) {
  const std::string good = container({{"a", "hello"}, {"b", "world"}});
  EXPECT_EQ(code(good), "accepted");
  EXPECT_EQ(code(good + "x"), "E1605");
  EXPECT_EQ(code("x" + good), "E1605");
  EXPECT_EQ(code(std::string("PK\5\6") + std::string(18, '\0')), "E1605");
  const auto padded = [](std::string& payload) { payload += "hidden"; };
  EXPECT_EQ(code(Entries{{.name = "a", .data = "x", .change_payload = padded}, {"b", "y"}}),
            "E1605");
  EXPECT_EQ(code(Entries{{.name = "a", .data = "x", .change_payload = padded}, {"b", "y"}},
                 {.gaps = true}),
            "accepted");
  // both directory entries point at the first local header
  Entry twin{.name = "a", .data = "hello"};
  std::string twice =
      container({twin, {.name = "b", .data = "hello", .change_central = [](std::string& b) {
                          b.replace(42, 4, 4, '\0');
                        }}});
  EXPECT_EQ(code(twice), "E1603");
}

TEST_F(Zip, EveryTruncationAndBitFlipEndsWithACode) {
  const std::string good = container(
      {{"a", "hello"}, {.name = "b", .data = "wooorld", .deflate = true, .descriptor = true}});
  for (size_t length = 0; length < good.size(); ++length)
    EXPECT_EQ(code(good.substr(0, length)), "E1605") << length;
  int accepted = 0;
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string flipped = good;
    flipped[bit / 8] ^= static_cast<char>(1 << bit % 8);
    accepted += code(flipped) == "accepted";
  }
  EXPECT_LT(accepted, static_cast<int>(good.size() * 8 / 3));  // versions, times, attributes
}

TEST_F(Zip, CountsAreBounded) {
  Limits limits;
  limits.zip_entries = 1;
  const std::string path = folder_.put("a.zip", container({{"a", "x"}, {"b", "y"}}));
  EXPECT_EQ(code_of([&] { ZipFile::open(path, limits); }), "E1004");
  EXPECT_EQ(code_of([&] { ZipFile::open(folder_.at("none.zip"), limits); }), "E4004");
}

}  // namespace
}  // namespace niwaki
