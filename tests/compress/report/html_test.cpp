#include "compress/report/html.h"

#include "tests/compress/report/sample_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <set>

namespace niwaki {
namespace {

using testing::HasSubstr;
using testing::Not;

/// The names of all elements that `page` opens.
std::set<std::string> elements(const std::string& page) {
  std::set<std::string> names;
  for (size_t at = page.find('<'); at != std::string::npos; at = page.find('<', at + 1)) {
    size_t end = at + 1;
    while (end < page.size() && std::isalnum(static_cast<unsigned char>(page[end]))) ++end;
    if (end > at + 1) names.insert(page.substr(at + 1, end - at - 1));
  }
  return names;
}

TEST(Html, IsOneFileWithoutScriptsOrAddresses) {
  const std::string page = html(sample_report());
  EXPECT_THAT(page, Not(HasSubstr("<script")));
  EXPECT_THAT(page, Not(HasSubstr("http")));
  EXPECT_THAT(page, Not(HasSubstr("url(")));
  EXPECT_THAT(page, Not(HasSubstr("style=\"")));
  EXPECT_THAT(page, HasSubstr("prefers-color-scheme:dark"));
  EXPECT_LT(page.size(), 500000 + 1000 * sample_report()["nodes"].size());
}

TEST(Html, HasTheSectionsOfItsData) {
  const std::string page = html(sample_report());
  for (const char* title :
       {"PASSED", "Before and after", "Gates", "Bytes by part", "Bytes by node, largest first",
        "Sensitivity, worst first", "Ranges of the noisiest nodes", "Latency",
        "Not compressed, and why", "Messages", "How to reproduce", "Provenance"}) {
    EXPECT_THAT(page, HasSubstr(title));
  }
  const std::string bare = html({{"status", "failed"}});
  EXPECT_THAT(bare, HasSubstr("FAILED"));
  EXPECT_THAT(bare, Not(HasSubstr("Sensitivity")));
}

TEST(Html, EachPlotHasATable) {
  const std::string page = html(sample_report());
  for (size_t at = page.find("</svg>"); at != std::string::npos; at = page.find("</svg>", at + 1)) {
    EXPECT_LT(page.find("<table", at), page.find("</section>", at));
  }
}

TEST(Html, ElementsAreBalanced) {
  const std::string page = html(sample_report());
  for (const char* name : {"section", "table", "tr", "td", "div", "svg", "details", "span", "p"}) {
    size_t opened = 0, closed = 0;
    for (size_t at = page.find('<'); at != std::string::npos; at = page.find('<', at + 1)) {
      opened +=
          page.compare(at, std::string(name).size() + 2, std::string("<") + name + ">") == 0 ||
          page.compare(at, std::string(name).size() + 2, std::string("<") + name + " ") == 0;
      closed += page.compare(at, std::string(name).size() + 3, std::string("</") + name + ">") == 0;
    }
    EXPECT_EQ(opened, closed) << name;
  }
}

TEST(Html, HostileNamesAreText) {
  Json report = sample_report();
  const std::set<std::string> expected = elements(html(report));
  const std::vector<std::string> names = hostile_names();
  for (size_t i = 0; i < names.size(); ++i) {
    Json node = sample_node(static_cast<int>(i % 21));
    node["name"] = names[i];
    node["reason"] = names[i];
    report["nodes"].push_back(node);
    report["messages"].push_back({{"code", "W3402"}, {"message", names[i]}});
  }
  report["files"][2]["name"] = names[1];
  report["command"] = names[0];
  const std::string page = html(report);
  EXPECT_EQ(elements(page), expected);
  EXPECT_THAT(page, Not(HasSubstr("<script")));
  EXPECT_NO_THROW(Json(page).dump());  // valid UTF-8
}

}  // namespace
}  // namespace niwaki
