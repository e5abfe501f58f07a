#include "formats/zip_stream.h"

#include <gtest/gtest.h>

#include "tests/formats/zip_bytes.h"

namespace niwaki {
namespace {

using namespace zip_bytes;

TEST(ZipStream, PiecesOfAnySizeGiveTheWhole) {
  const Folder folder;
  std::string data;
  for (int i = 0; i < 300000; ++i) data += static_cast<char>(i % 1000 < 900 ? 0 : i * i);
  for (const bool deflate : {false, true}) {
    const auto zip = ZipFile::open(
        folder.put("a.zip", container({{.name = "a", .data = data, .deflate = deflate}})), {});
    for (const size_t step : {size_t{1} << 20, size_t{65536}, size_t{777}}) {
      ZipStream stream(zip->file(), zip->entries()[0]);
      std::string got(data.size(), '?');
      for (size_t at = 0; at < data.size(); at += step) {
        stream.read(
            std::as_writable_bytes(std::span(got).subspan(at, std::min(step, data.size() - at))));
      }
      EXPECT_EQ(got, data);
      EXPECT_EQ(stream.position(), data.size());
    }
  }
}

TEST(ZipStream, SkipsAndStopsAtTheEnd) {
  const Folder folder;
  const auto zip = ZipFile::open(
      folder.put("a.zip", container({{.name = "a", .data = "0123456789", .deflate = true}})), {});
  ZipStream stream(zip->file(), zip->entries()[0]);
  stream.skip(4);
  std::string got(2, ' ');
  stream.read(std::as_writable_bytes(std::span(got)));
  EXPECT_EQ(got, "45");
  stream.read({});
  std::string more(5, ' ');
  EXPECT_EQ(code_of([&] { stream.read(std::as_writable_bytes(std::span(more))); }), "E1602");
  stream.skip(4);
}

TEST(ZipStream, SizeMustBeTheInflatedSize) {
  const Folder folder;
  const std::string data(1000, 'a');
  const auto zip = ZipFile::open(
      folder.put("a.zip", container({{.name = "a", .data = data, .deflate = true}})), {});
  for (const int change : {-1, 1}) {
    ZipEntry entry = zip->entries()[0];
    entry.size = static_cast<uint64_t>(static_cast<int64_t>(entry.size) + change);
    EXPECT_EQ(code_of([&] { ZipStream(zip->file(), entry).skip(entry.size); }), "E1602");
  }
  ZipEntry entry = zip->entries()[0];
  entry.compressed -= 1;
  EXPECT_EQ(code_of([&] { ZipStream(zip->file(), entry).skip(entry.size); }), "E1602");
}

}  // namespace
}  // namespace niwaki
