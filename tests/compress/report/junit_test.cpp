#include "compress/report/junit.h"

#include "compress/error.h"
#include "tests/compress/report/sample_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>

namespace niwaki {
namespace {

using testing::HasSubstr;

Json gate(const std::string& name, const std::string& verdict, bool is_measured = true) {
  return {{"name", name},
          {"verdict", verdict},
          {"measured", is_measured},
          {"informational", false},
          {"message", name + " was " + verdict}};
}

TEST(Junit, OneCasePerGate) {
  Json report = {{"gates",
                  {gate("a", "pass"), gate("b", "fail"), gate("c", "inconclusive"),
                   gate("d", "inconclusive", false)}}};
  report["gates"].push_back(gate("e", "fail"));
  report["gates"][4]["informational"] = true;
  report["gates"].push_back(gate("f", "inconclusive"));
  report["gates"][5]["accepted"] = true;
  const std::string xml = junit(report);
  EXPECT_THAT(xml, HasSubstr("tests=\"6\" failures=\"2\" errors=\"1\" skipped=\"2\""));
  EXPECT_THAT(xml, HasSubstr("name=\"a\"/>"));
  EXPECT_THAT(xml, HasSubstr("name=\"b\"><failure type=\"fail\" message=\"b was fail\"/>"));
  EXPECT_THAT(xml, HasSubstr("name=\"d\"><error "));
  EXPECT_THAT(xml, HasSubstr("name=\"e\"><skipped "));
  EXPECT_THAT(junit({{"status", "failed"}}), HasSubstr("errors=\"1\""));
}

TEST(Junit, ParsesWithHostileNames) {
  Json report = {{"gates", Json::array()}};
  for (const std::string& name : hostile_names()) {
    report["gates"].push_back(gate(name, "fail"));
  }
  const char* python = std::getenv("NIWAKI_PYTHON");
  const std::string path = testing::TempDir() + "niwaki_junit_test.xml";
  std::ofstream(path) << junit(report);
  const std::string script =
      "import sys, xml.etree.ElementTree as e; r = e.parse(sys.argv[1]).getroot(); "
      "sys.exit(len(r.findall('testcase/failure')) != 200)";
  const std::string command =
      cat(python == nullptr || *python == 0 ? "python3" : python, " -c \"", script, "\" ", path);
  EXPECT_EQ(std::system(command.c_str()), 0);
  std::remove(path.c_str());
}

TEST(Junit, CsvHasOneRowPerNode) {
  const Json report = sample_report();
  const std::string table = csv(report);
  EXPECT_EQ(static_cast<size_t>(std::count(table.begin(), table.end(), '\n')),
            report["nodes"].size() + 1);
  EXPECT_THAT(
      table,
      HasSubstr("fc,Gemm,skipped,N3002,kept by --keep fc,float32,float32,2600,2600,,,,\r\n"));
}

}  // namespace
}  // namespace niwaki
