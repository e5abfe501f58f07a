#include "compress/atomic_file.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "compress/error.h"

namespace niwaki {
namespace {

namespace fs = std::filesystem;

class AtomicFileTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "niwaki_atomic_XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::string at(const std::string& name) const { return (folder_ / name).string(); }
  static std::string read(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  size_t files() const {
    return static_cast<size_t>(std::distance(fs::directory_iterator(folder_), {}));
  }
  template <typename Work>
  static std::string code_of(Work work) {
    try {
      work();
    } catch (const Error& error) {
      return error.code();
    }
    return "accepted";
  }
  fs::path folder_;
};

TEST_F(AtomicFileTest, AppearsAtCommitAndNotBefore) {
  write_file(at("a"), "old");
  AtomicFile file(at("a"));
  file.write("new ");
  file.write("bytes");
  file.sync();
  EXPECT_EQ(read(at("a")), "old");
  EXPECT_EQ(read(file.path_of_part()), "new bytes");
  file.commit();
  EXPECT_EQ(read(at("a")), "new bytes");
  EXPECT_EQ(files(), 1u);
}

TEST_F(AtomicFileTest, LeavesNothingWithoutCommit) {
  write_file(at("a"), "old");
  {
    AtomicFile file(at("a"));
    file.reserve(1000);
    file.write("new");
  }
  EXPECT_EQ(read(at("a")), "old");
  EXPECT_EQ(files(), 1u);
}

TEST_F(AtomicFileTest, ReservingDoesNotMakeTheFileLonger) {
  AtomicFile file(at("a"));
  file.reserve(100000);
  file.write("abc");
  file.commit();
  EXPECT_EQ(fs::file_size(at("a")), 3u);
}

TEST_F(AtomicFileTest, ModeFollowsTheUmask) {
  const mode_t before = ::umask(027);
  write_file(at("a"), "x");
  ::umask(before);
  EXPECT_EQ(static_cast<int>(fs::status(at("a")).permissions()), 0640);
}

TEST_F(AtomicFileTest, LongNamesAndMissingDirectories) {
  write_file(at(std::string(255, 'n')), "x");
  EXPECT_EQ(read(at(std::string(255, 'n'))), "x");
  EXPECT_EQ(code_of([&] { AtomicFile(at("none/a")); }), "E4003");
}

TEST_F(AtomicFileTest, FailedWriteKeepsTheOldFile) {
  write_file(at("a"), "old");
  const pid_t child = ::fork();
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{1000, 1000};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    const std::string code = code_of([&] { write_file(at("a"), std::string(5000, 'x')); });
    ::_exit(code == "E4009" || code == "E4001" ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(read(at("a")), "old");
  EXPECT_EQ(files(), 1u);
}

TEST_F(AtomicFileTest, OutputRules) {
  write_file(at("in"), "x");
  fs::create_symlink(at("in"), at("link"));
  fs::create_hard_link(at("in"), at("hard"));
  const auto check = [&](const std::string& path, bool force = false, bool make = false) {
    return code_of([&] { require_writable_output(path, {at("in")}, force, make); });
  };
  EXPECT_EQ(check(at("out")), "accepted");
  EXPECT_EQ(check(at("in")), "E2010");
  EXPECT_EQ(check(at("in"), true), "E2010");
  EXPECT_EQ(check(at("link"), true), "E2010");
  EXPECT_EQ(check(at("hard"), true), "E2010");
  EXPECT_EQ(check(at("./in"), true), "E2010");
  write_file(at("out"), "x");
  EXPECT_EQ(check(at("out")), "E2009");
  EXPECT_EQ(check(at("out"), true), "accepted");
  EXPECT_EQ(check(folder_.string(), true), "E2009");
  EXPECT_EQ(check(at("none/out")), "E4003");
  EXPECT_EQ(check(at("none/out"), false, true), "accepted");
  EXPECT_TRUE(fs::is_directory(at("none")));
}

TEST_F(AtomicFileTest, PartFilesOfDeadProcessesGo) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  ::waitpid(child, nullptr, 0);
  const std::string dead = at(cat(".out.", child, ".0123456789abcdef.part"));
  const std::string alive = at(cat(".out.", ::getpid(), ".0123456789abcdef.part"));
  const std::string other = at(cat(".else.", child, ".0123456789abcdef.part"));
  for (const std::string& path : {dead, alive, other}) write_file(path, "x");
  require_writable_output(at("out"), {}, false, false);
  EXPECT_FALSE(fs::exists(dead));
  EXPECT_TRUE(fs::exists(alive));
  EXPECT_TRUE(fs::exists(other));
}

TEST(BytesText, Units) {
  EXPECT_EQ(bytes_text(134), "134 bytes");
  EXPECT_EQ(bytes_text(14200), "14.2 kB");
  EXPECT_EQ(bytes_text(257533020), "258 MB");
  EXPECT_EQ(bytes_text(3'900'000'000), "3.9 GB");
}

}  // namespace
}  // namespace niwaki
