#include "tests/compress/cli/run_program.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <set>

namespace niwaki {
namespace {

using testing::HasSubstr;

class CommandLine : public testing::Test {
 protected:
  void SetUp() override {
    if (program().empty()) GTEST_SKIP() << "NIWAKI_BINARY names no program";
  }
};

TEST_F(CommandLine, SaysTwelveLinesWhenCalledAlone) {
  const ProgramRun run = run_program("");
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_EQ(std::count(run.out.begin(), run.out.end(), '\n'), 12);
}

TEST_F(CommandLine, HelpListsEveryVerbAndNoPlannedOne) {
  const std::string help = run_program("--help").out;
  for (const char* verb : {"inspect", "check", "convert", "factorize", "prune", "finetune", "distill", "pack", "unpack", "quantize", "run", "eval", "bench", "compare", "report", "explain", "doctor", "passes", "completion"}) {
    EXPECT_THAT(help, HasSubstr(std::string("  ") + verb + " "));
    const ProgramRun own = run_program(std::string(verb) + " --help");
    EXPECT_EQ(own.exit_code, 0) << verb;
    EXPECT_THAT(own.out, HasSubstr(std::string("usage: niwaki ") + verb));
  }
  EXPECT_EQ(help.find("  auto "), std::string::npos);
}

TEST_F(CommandLine, RefusesWithTheNearestName) {
  const struct { const char *words, *code, *hint; } cases[] = {
      {"quantise m.onnx", "E2001", "did you mean 'quantize'?"},
      {"quantize m.onnx -o x --blok-size 4", "E2001", "did you mean '--block-size'?"},
      {"quantize m.onnx -o x --mode statik", "E2001", "did you mean 'static'?"},
      {"quantize m.onnx -o x --bits 5", "E2001", "needed one of 8|4|3|2"},
      {"quantize m.onnx -o x --samples -3", "E2001", "a whole number"},
      {"quantize m.onnx -o x --percentile high", "E2001", "needed a number"},
      {"quantize m.onnx -o x --samples", "E2001", "needs a value"},
      {"quantize m.onnx -o x --symmetric --asymmetric", "E2001", "exclude each other"},
      {"quantize m.onnx", "E2001", "needs --output"},
      {"quantize -o x", "E2001", "needs an argument"},
      {"quantize a b -o x", "E2001", "does not take the argument 'b'"},
      {"quantize m.onnx -o x -o y", "E2001", "given twice"},
      {"eval m.onnx", "E2001", "needs --data"},
      {"inspect m.onnx --calib x", "E2001", "it belongs to quantize"},
      {"bench m.onnx --max-time soon", "E2001", "30s, 5m or 1h"},
      {"--force quantize", "E2001", "before the verb"},
      {"auto m.onnx", "E2002", "not in this version"},
      {"distill m.onnx", "E2001", "needs --output"},
      {"distill m.onnx -o x --train t.npz", "E2001", "needs --teacher"},
      {"finetune m.onnx -o x", "E2001", "needs --train"},
      {"finetune m.onnx -o x --train t.npz --lr fast", "E2001", "needed a number"},
      {"convert m.onnx -o x --dtype float16", "E2002", "not in this version"},
      {"explain E9999", "E2001", "explain --list"}};
  for (const auto& one : cases) {
    const ProgramRun run = run_program(one.words);
    EXPECT_EQ(run.exit_code, 2) << one.words;
    EXPECT_THAT(run.err, HasSubstr(std::string("error[") + one.code + "]: ")) << one.words;
    EXPECT_THAT(run.err, HasSubstr(one.hint)) << one.words;
    EXPECT_THAT(run.err, HasSubstr("\nhelp: ")) << one.words;
    EXPECT_EQ(run.out, "") << one.words;
  }
}

TEST_F(CommandLine, PrintsErrorsAsOneDocument) {
  const ProgramRun run = run_program("quantize m.onnx -o x --bits 5 --json");
  ASSERT_TRUE(run.json().is_object());
  EXPECT_EQ(run.json()["code"], "E2001");
  EXPECT_EQ(run.json()["exit_code"], 2);
  EXPECT_EQ(run.json()["needed"], "one of 8|4|3|2");
  for (const char* key : {"message", "where", "found", "help"}) EXPECT_TRUE(run.json().contains(key)) << key;
}

TEST_F(CommandLine, ReadsVariablesBehindFlags) {
  const ProgramRun wrong = run_program("inspect m.onnx", "NIWAKI_THREADS=many");
  EXPECT_EQ(wrong.exit_code, 2);
  EXPECT_THAT(wrong.err, HasSubstr("--> NIWAKI_THREADS"));
  EXPECT_EQ(run_program("explain E1201 --progress none", "NIWAKI_PROGRESS=wrong").exit_code, 0);
}

TEST_F(CommandLine, EscapesWhatItRepeats) {
  const ProgramRun run = run_program("\"$(printf 'a\\033[31mb')\"");
  EXPECT_EQ(run.err.find('\033'), std::string::npos);
  EXPECT_THAT(run.err, HasSubstr("\\u{1b}"));
  EXPECT_THAT(run_program("nothing", "FORCE_COLOR=1").err, HasSubstr("\033[1;31merror[E2001]"));
  EXPECT_EQ(run_program("nothing", "FORCE_COLOR=1 NO_COLOR=1").err.find('\033'), std::string::npos);
}

TEST_F(CommandLine, HasAPageForEveryCodeOfTheSource) {
  const char* root = std::getenv("NIWAKI_SOURCE_DIR");
  ASSERT_NE(root, nullptr);
  std::set<std::string> codes;
  for (const char* folder : {"compress", "formats", "passes"}) {
    for (const auto& file : std::filesystem::recursive_directory_iterator(std::filesystem::path(root) / folder)) {
      if (file.path().extension() != ".cpp" && file.path().extension() != ".h") continue;
      const std::string text = file_text(file.path().string());
      for (size_t at = text.find('"'); at != std::string::npos; at = text.find('"', at + 1)) {
        const std::string code = text.substr(at + 1, 5);
        const bool is_code = code.size() == 5 && std::string("EWN").find(code[0]) != std::string::npos && std::all_of(code.begin() + 1, code.end(), [](unsigned char c) { return std::isdigit(c); });
        if (is_code && at + 6 < text.size() && (text[at + 6] == '"' || text[at + 6] == ':')) codes.insert(code);
      }
    }
  }
  const std::string list = run_program("explain --list").out;
  EXPECT_GT(codes.size(), 60u);
  for (const std::string& code : codes) EXPECT_THAT(list, HasSubstr(code + "  "));
}

TEST_F(CommandLine, ExplainsEveryCodeWithHelp) {
  const nlohmann::json pages = run_program("explain --list --json").json();
  ASSERT_TRUE(pages.is_array());
  std::string last;
  for (const auto& page : pages) {
    EXPECT_LT(last, page["code"].get<std::string>());
    last = page["code"];
    EXPECT_GE(page["meaning"].get<std::string>().size(), 20u) << last;
    EXPECT_GE(page["help"].get<std::string>().size(), 10u) << last;
  }
  EXPECT_THAT(run_program("explain E1607").out, testing::AllOf(HasSubstr("help: "), HasSubstr("exit 3: ")));
}

TEST_F(CommandLine, AnswersHelpAndRefusalsAtOnce) {
  double least = 1e9;
  for (int i = 0; i < 5; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    run_program("quantize --no-such-flag");
    least = std::min(least, std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count());
  }
  EXPECT_LT(least, 150);
}

TEST_F(CommandLine, WritesCompletions) {
  for (const char* shell : {"bash", "zsh", "fish"}) EXPECT_THAT(run_program(std::string("completion ") + shell).out, HasSubstr("quantize"));
  EXPECT_EQ(run_program("completion csh").exit_code, 2);
}

TEST_F(CommandLine, SurvivesAClosedReader) {
  const ProgramRun run = run_program("explain --list | head -1");
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_EQ(run.err, "");
}

}  // namespace
}  // namespace niwaki
