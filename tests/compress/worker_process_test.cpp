#include "compress/worker_process.h"

#include "compress/error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>

namespace niwaki {
namespace {

using ::testing::HasSubstr;
using Outcome = WorkerProcess::Outcome;

/// Answers each line in capitals; says where it runs; stops at "end".
constexpr std::string_view kScript = R"(
import os, sys
for line in sys.stdin:
    if line == "where\n":
        line = repr(os.listdir(".")) + " " + str(os.getpgid(0) == os.getpid()) + "\n"
    elif line == "path\n":
        line = repr("" in sys.path or os.getcwd() in sys.path) + "\n"
    elif line == "end\n":
        print("the reason", file=sys.stderr)
        sys.exit(3)
    else:
        line = line.upper()
    sys.stdout.write(line)
    sys.stdout.flush()
)";

class WorkerProcessTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (find_python("").empty()) GTEST_SKIP() << "no Python interpreter";
  }
  static std::string ask(WorkerProcess& process, const std::string& line) {
    process.send(line);
    std::string answer;
    EXPECT_EQ(process.receive(answer, 60, {}), Outcome::line);
    return answer;
  }
};

TEST_F(WorkerProcessTest, SpeaksInLines) {
  WorkerProcess process(find_python(""), kScript, 0);
  EXPECT_EQ(ask(process, "one"), "ONE");
  EXPECT_EQ(ask(process, std::string(200000, 'x')), std::string(200000, 'X'));
  process.send("two\nthree");
  std::string line;
  ASSERT_EQ(process.receive(line, 60, {}), Outcome::line);
  EXPECT_EQ(line, "TWO");
  ASSERT_EQ(process.receive(line, 60, {}), Outcome::line);
  EXPECT_EQ(line, "THREE");
}

TEST_F(WorkerProcessTest, RunsAloneInAnEmptyFolder) {
  WorkerProcess process(find_python(""), kScript, 0);
  EXPECT_EQ(ask(process, "where"), "[] True");
  EXPECT_EQ(ask(process, "path"), "False");
}

TEST_F(WorkerProcessTest, TakesRelativePathsAndBareNames) {
  namespace fs = std::filesystem;
  const fs::path python = fs::absolute(find_python(""));
  WorkerProcess relative(python.lexically_relative(fs::current_path()), kScript, 0);
  EXPECT_EQ(ask(relative, "one"), "ONE");
  WorkerProcess bare("python3", kScript, 0);
  EXPECT_EQ(ask(bare, "two"), "TWO");
}

TEST_F(WorkerProcessTest, ReportsHowItEnded) {
  WorkerProcess process(find_python(""), kScript, 0);
  process.send("end");
  std::string line;
  EXPECT_EQ(process.receive(line, 60, {}), Outcome::ended);
  process.stop();
  EXPECT_EQ(process.end_text(), "ended with exit status 3");
  EXPECT_EQ(process.last_message(), "the reason");
  EXPECT_EQ(process.id(), 0);
  process.send("more");
  EXPECT_EQ(process.receive(line, 60, {}), Outcome::ended);
}

TEST_F(WorkerProcessTest, OutlivesAnEndNobodyNoticed) {
  WorkerProcess process(find_python(""), kScript, 0);
  kill(process.id(), SIGKILL);
  std::string line;
  EXPECT_EQ(process.receive(line, 60, {}), Outcome::ended);
  process.send("a pipe without a reader");  // must not raise SIGPIPE
  process.stop();
  EXPECT_THAT(process.end_text(), HasSubstr("signal 9"));
}

TEST_F(WorkerProcessTest, WaitsNoLongerThanAllowed) {
  WorkerProcess process(find_python(""), kScript, 0);
  std::string line;
  EXPECT_EQ(process.receive(line, 0.1, {}), Outcome::timeout);
  EXPECT_EQ(process.receive(line, 60, [] { return true; }), Outcome::stopped);
  EXPECT_EQ(ask(process, "still there"), "STILL THERE");
}

TEST_F(WorkerProcessTest, KeepsBytesInSharedFiles) {
  const SharedFile file("bytes");
  const std::string text = "some bytes";
  file.write(text.data(), text.size(), 100);
  EXPECT_EQ(file.size(), 110);
  std::string back(text.size(), '\0');
  file.read(back.data(), back.size(), 100);
  EXPECT_EQ(back, text);
  EXPECT_THROW(file.read(back.data(), back.size(), 105), EnvironmentError);
}

TEST_F(WorkerProcessTest, RefusesWhatCannotBeStarted) {
  try {
    WorkerProcess process("/no/such/python", kScript, 0);
    ADD_FAILURE() << "it started";
  } catch (const EnvironmentError& error) {
    EXPECT_EQ(error.code(), "E4006");
    EXPECT_EQ(error.message(), "cannot start '/no/such/python': No such file or directory");
  }
}

}  // namespace
}  // namespace niwaki
