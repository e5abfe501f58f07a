#include "compress/mapped_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "compress/error.h"

namespace niwaki {
namespace {

namespace fs = std::filesystem;

class MappedFileTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "niwaki_map_XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::string put(const std::string& name, const std::string& text) {
    const std::string path = (folder_ / name).string();
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }
  std::string code_of_open(const std::string& path) {
    try {
      MappedFile::open(path);
    } catch (const Error& error) {
      EXPECT_EQ(error.exit_code(), 4);
      return error.code();
    }
    return "accepted";
  }
  fs::path folder_;
};

TEST_F(MappedFileTest, ShowsTheBytes) {
  const auto file = MappedFile::open(put("a", "hello"));
  ASSERT_EQ(file->bytes().size(), 5u);
  EXPECT_EQ(std::memcmp(file->bytes().data(), "hello", 5), 0);
  EXPECT_EQ(file->identity().size, 5u);
}

TEST_F(MappedFileTest, EmptyFileIsAnEmptySpan) {
  const auto file = MappedFile::open(put("a", ""));
  EXPECT_TRUE(file->bytes().empty());
  EXPECT_TRUE(file->unchanged());
}

TEST_F(MappedFileTest, SeesReplacementAndWriting) {
  const std::string path = put("a", "hello");
  const auto file = MappedFile::open(path);
  EXPECT_TRUE(file->unchanged());
  EXPECT_NO_THROW(file->require_unchanged());
  put("b", "jello");
  fs::rename(folder_ / "b", path);
  EXPECT_FALSE(file->unchanged());
  EXPECT_EQ(std::memcmp(file->bytes().data(), "hello", 5), 0);
  EXPECT_THROW(file->require_unchanged(), ModelError);
  const auto again = MappedFile::open(path);
  put("a", "longer than before");
  EXPECT_FALSE(again->unchanged());
}

TEST_F(MappedFileTest, RefusesWhatIsNoRegularFile) {
  EXPECT_EQ(code_of_open((folder_ / "none").string()), "E4004");
  EXPECT_EQ(code_of_open((folder_ / "none" / "deeper").string()), "E4004");
  EXPECT_EQ(code_of_open(folder_.string()), "E4007");
  ::mkfifo((folder_ / "pipe").c_str(), 0600);
  EXPECT_EQ(code_of_open((folder_ / "pipe").string()), "E4007");
  EXPECT_EQ(code_of_open("/dev/null"), "E4007");
}

TEST_F(MappedFileTest, TakesADescriptor) {
  const std::string path = put("a", "hello");
  const int descriptor = ::open(path.c_str(), O_RDONLY);
  const auto file = MappedFile::from_descriptor(descriptor, path);
  EXPECT_EQ(file->bytes().size(), 5u);
  EXPECT_EQ(::fcntl(descriptor, F_GETFD), -1) << "the map must not keep the descriptor";
}

TEST_F(MappedFileTest, ReaderReadsRangesAndNoticesTheEnd) {
  const std::string path = put("a", "0123456789");
  const FileReader reader(path);
  std::array<char, 4> out{};
  reader.read_at(3, std::as_writable_bytes(std::span(out)));
  EXPECT_EQ(std::string(out.data(), 4), "3456");
  try {
    reader.read_at(8, std::as_writable_bytes(std::span(out)));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), "E1901");
  }
}

}  // namespace
}  // namespace niwaki
