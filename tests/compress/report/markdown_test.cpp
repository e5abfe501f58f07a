#include "compress/report/markdown.h"

#include "tests/compress/report/sample_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace niwaki {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(Markdown, HasHeadlineGatesKeptNodesAndChanges) {
  const std::string page = markdown(sample_report());
  EXPECT_THAT(page, HasSubstr("# r20.int8.onnx: PASSED"));
  EXPECT_THAT(page, HasSubstr("| file | 1.09 MB | 0.33 MB | 3.32x smaller | ok |"));
  EXPECT_THAT(page, HasSubstr("| size | 329,020 B |  | at most 400,000 B | pass |"));
  EXPECT_THAT(page, HasSubstr("| fc | Gemm | 3 kB | kept by \\-\\-keep fc |"));
  EXPECT_THAT(page, HasSubstr("## Largest changes"));
}

TEST(Markdown, CardStartsWithYaml) {
  const std::string card = model_card(sample_report());
  EXPECT_THAT(card, testing::StartsWith("---\nlibrary_name: onnx\n"));
  EXPECT_THAT(card, HasSubstr("base_model: \"resnet20.onnx\""));
  EXPECT_THAT(card, HasSubstr("9f2c41d7"));
}

TEST(Markdown, HostileNamesStayInTheirCells) {
  for (const std::string& name : hostile_names()) {
    Json report = sample_report();
    report["nodes"][21]["name"] = name;
    report["files"][0]["name"] = name;
    report["files"][2]["name"] = name;
    const std::string card = model_card(report);
    const std::string body =
        card.substr(card.find("\n---\n"));  // the YAML header quotes names, it needs no escapes
    for (const std::string& page : {markdown(report), body, pull_request(report)}) {
      EXPECT_THAT(page, Not(HasSubstr("<"))) << page;
      EXPECT_THAT(page, Not(HasSubstr("://")));
      EXPECT_THAT(page, Not(HasSubstr("@octocat")));
      EXPECT_THAT(page, Not(HasSubstr("\r")));
    }
  }
}

TEST(Markdown, CommentsStayShort) {
  Json report = sample_report();
  for (int i = 0; i < 3000; ++i)
    report["messages"].push_back({{"code", "W3402"}, {"message", std::string(100, 'x')}});
  EXPECT_LT(pull_request(report).size(), 60000u);
  EXPECT_THAT(pull_request(report), HasSubstr("## Gates"));
}

}  // namespace
}  // namespace niwaki
