#include "compress/report/terminal_table.h"

#include "tests/compress/report/sample_report.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

namespace niwaki {
namespace {

size_t width(const std::string& line) {
  return static_cast<size_t>(
      std::count_if(line.begin(), line.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

TEST(TerminalTable, IsTheTableOfTheManual) {
  EXPECT_EQ(terminal_table(sample_report(), 80),
            "  done in 13.4 s          original     result   change\n"
            "  ───────────────────────────────────────────────────────────────────────────\n"
            "  file                     1.09 MB    0.33 MB   3.32x smaller              ok\n"
            "  top1 (10,000 samples)    91.70 %    91.52 %   -0.18 pt [-0.39, +0.02]    ok\n"
            "  latency p50, batch 1     1.86 ms    0.71 ms   2.62x faster [2.55, 2.69]\n"
            "  peak memory              31.0 MB    28.0 MB   1.11x less\n"
            "  its bytes    weights 272 kB · scales 6 kB · graph and names 51 kB\n"
            "  nodes        21 INT8 · 9 without weights · kept as float: 1\n"
            "  kept         fc (3 kB): kept by --keep fc\n"
            "  verified     onnx checker · onnxruntime 1.23.2 · differs 0.02, allowed 0.09\n"
            "  wrote  r20.int8.onnx  sha256:9f2c…e1\n"
            "         r20.int8.report/ report.html report.json report.md junit.xml\n"
            "  next   niwaki compare resnet20.onnx r20.int8.onnx --per-layer\n");
}

TEST(TerminalTable, KeepsToItsWidth) {
  for (const int columns : {20, 40, 60, 80, 120}) {
    std::istringstream lines(terminal_table(sample_report(), columns));
    for (std::string line; std::getline(lines, line);) {
      const bool is_one_word = line.find_first_not_of(' ') != std::string::npos &&
                               line.find(' ', line.find_first_not_of(' ')) == std::string::npos;
      if (!is_one_word) {
        EXPECT_LE(width(line), static_cast<size_t>(columns)) << line;
      }
    }
  }
}

TEST(TerminalTable, AsciiHasNoOtherBytes) {
  const std::string table = terminal_table(sample_report(), 80, false);
  EXPECT_TRUE(std::none_of(table.begin(), table.end(), [](char c) { return (c & 0x80) != 0; }));
  EXPECT_NE(table.find("sha256:9f2c..e1"), std::string::npos);
}

TEST(TerminalTable, SlowerIsRedOnlyInColour) {
  Json report = sample_report();
  report["latency"]["ratio"] = 1.26;
  report["latency"]["ci95"] = {1.22, 1.31};
  EXPECT_NE(terminal_table(report, 80, true, true).find("\x1b[31m1.26x SLOWER [1.22, 1.31]\x1b[0m"),
            std::string::npos);
  EXPECT_EQ(terminal_table(report, 80, true, false).find('\x1b'), std::string::npos);
}

TEST(TerminalTable, ListsTheWorstFiveKeptNodes) {
  Json report = sample_report();
  for (int i = 0; i < 8; ++i) {
    report["nodes"].push_back({{"name", "kept" + std::to_string(i)},
                               {"outcome", "skipped"},
                               {"reason", "too small"},
                               {"bytes_before", 10000 + i}});
  }
  const std::string table = terminal_table(report, 80);
  EXPECT_NE(table.find("kept7 (10 kB): too small"), std::string::npos);
  EXPECT_EQ(table.find("kept2"), std::string::npos);
  EXPECT_NE(table.find("+4 more: niwaki explain r20.int8.report NODE"), std::string::npos);
}

TEST(TerminalTable, HostileNamesControlNothing) {
  for (const std::string& name : hostile_names()) {
    Json report = sample_report();
    report["files"][2]["name"] = name;
    report["nodes"][21]["name"] = name;
    const std::string table = terminal_table(report, 80);
    EXPECT_TRUE(std::none_of(table.begin(), table.end(),
                             [](unsigned char c) { return (c < 0x20 && c != '\n') || c == 0x7f; }));
  }
}

TEST(TerminalTable, StandsWithoutData) {
  const std::string table = terminal_table(Json::object(), 80);
  EXPECT_NE(table.find("not measured"), std::string::npos);
  EXPECT_NE(terminal_table({{"status", "failed"}}, 80).find("  failed"), std::string::npos);
}

}  // namespace
}  // namespace niwaki
