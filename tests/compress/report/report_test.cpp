#include "compress/report/report.h"

#include "compress/error.h"
#include "tests/compress/report/sample_report.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace niwaki {
namespace {

TEST(Report, EqualRunsHaveEqualHashes) {
  const Json first = sample_report();
  Json second = sample_report();
  second["run"]["time"] = "2027-01-01T00:00:00Z";
  second["latency"]["ratio"] = 0.5;
  second["memory"]["peak_after"] = 1;
  second["passes"][0]["seconds"] = 99;
  second["gates"][2]["value"] = 0.9;  // latency
  second["messages"][0]["message"] = "the machine was busy: load 9 on 2 cores";
  second["content_hash"] = content_hash(first);
  EXPECT_EQ(content_hash(first), content_hash(second));
  EXPECT_EQ(content_hash(first).size(), 64u);
}

TEST(Report, TimesOfSingleNodesAreNotHashed) {
  Json first = sample_report(), second = sample_report();
  first["nodes"].push_back({{"name", "a"}, {"outcome", "changed"}, {"measured_ms_before", 0.5}, {"measured_ms_after", 0.25}});
  second["nodes"].push_back({{"name", "a"}, {"outcome", "changed"}, {"measured_ms_before", 0.625}, {"measured_ms_after", 0.375}});
  first["nodes"].push_back({{"name", "b"}, {"outcome", "skipped"}, {"reason", "measured: factors take 2 ms, the node 1 ms"}});
  second["nodes"].push_back({{"name", "b"}, {"outcome", "skipped"}, {"reason", "measured: factors take 4 ms, the node 3 ms"}});
  EXPECT_EQ(content_hash(first), content_hash(second));
  second["nodes"].back()["reason"] = "it is depthwise: there is nothing to factorize";
  EXPECT_NE(content_hash(first), content_hash(second));
}

TEST(Report, OtherResultsHaveOtherHashes) {
  const Json first = sample_report();
  for (const char* key : {"after", "quality", "nodes", "recipe", "files", "changes"}) {
    Json second = sample_report();
    second[key] = "different";
    EXPECT_NE(content_hash(first), content_hash(second)) << key;
  }
}

TEST(Report, WritesEachFormat) {
  const std::filesystem::path directory =
      std::filesystem::path(testing::TempDir()) / "niwaki_report_test";
  std::filesystem::create_directories(directory);
  write_reports(sample_report(), directory, {"html", "json", "md", "junit", "csv", "card", "pr"});
  for (const char* name : {"report.html", "report.json", "report.md", "junit.xml", "report.csv",
                           "README.md", "pr.md"}) {
    EXPECT_GT(std::filesystem::file_size(directory / name), 100u) << name;
  }
  std::stringstream text;
  text << std::ifstream(directory / "report.json").rdbuf();
  EXPECT_EQ(Json::parse(text.str()), sample_report());
  std::filesystem::remove_all(directory);
}

TEST(Report, BrokenTextIsStillValidJson) {
  Json report = sample_report();
  for (const std::string& name : hostile_names()) report["changes"].push_back(name);
  EXPECT_NO_THROW(Json::parse(render(report, "json")));
  EXPECT_EQ(content_hash(report).size(), 64u);
}

TEST(Report, UnknownFormatsAreRefused) {
  try {
    render(sample_report(), "htm");
    FAIL();
  } catch (const UsageError& error) {
    EXPECT_EQ(error.code(), "E2011");
    EXPECT_EQ(error.details().found, "did you mean 'html'?");
  }
}

}  // namespace
}  // namespace niwaki
