#include "compress/run_directory.h"

#include "compress/atomic_file.h"
#include "compress/error.h"

#include <gtest/gtest.h>

#include <filesystem>

namespace niwaki {
namespace {

namespace fs = std::filesystem;

class RunDirectoryTest : public ::testing::Test {
 protected:
  RunDirectoryTest() : work_(fs::path(::testing::TempDir()) / ("work_" + std::string(::testing::UnitTest::GetInstance()->current_test_info()->name()))) { fs::remove_all(work_); }
  ~RunDirectoryTest() override { fs::remove_all(work_); }
  fs::path work_;
};

TEST_F(RunDirectoryTest, StaysWhereThereIsWorkToGoOnFrom) {
  {
    const RunDirectory run(work_.string(), "1a");
    EXPECT_FALSE(run.has_checkpoint());
    write_file(run.path() + "/3-distill.checkpoint", std::string("state"));
    EXPECT_TRUE(run.has_checkpoint());
  }
  EXPECT_TRUE(fs::exists(work_ / "run-1a" / "3-distill.checkpoint"));
  RunDirectory again(work_.string(), "1a");
  EXPECT_TRUE(again.has_checkpoint());
  again.remove();
  EXPECT_FALSE(fs::exists(work_));
}

TEST_F(RunDirectoryTest, GoesWhereNothingWasFinished) {
  { const RunDirectory run(work_.string(), "2b"); }
  EXPECT_FALSE(fs::exists(work_));
}

TEST_F(RunDirectoryTest, ServesOneProcess) {
  const RunDirectory first(work_.string(), "3c");
  try {
    const RunDirectory second(work_.string(), "3c");
    FAIL() << "two runs share a folder";
  } catch (const EnvironmentError& error) {
    EXPECT_EQ(error.code(), "E4005");
  }
}

TEST_F(RunDirectoryTest, CannotBeAFile) {
  write_file(work_.string(), std::string("file"));
  EXPECT_THROW(RunDirectory(work_.string(), "4d"), EnvironmentError);
}

}  // namespace
}  // namespace niwaki
