#include "compress/report/html_parts.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace niwaki {
namespace {

TEST(HtmlParts, ASectionWithoutContentIsNone) {
  EXPECT_EQ(section("Empty", ""), "");
  EXPECT_EQ(section("A < B", "<p>x</p>"), "<section><h2>A &lt; B</h2><p>x</p></section>\n");
}

TEST(HtmlParts, NumbersStandRight) {
  const std::string one = table({{"node"}, {"bytes", true}}, {{"fc", "12"}});
  EXPECT_NE(one.find("<td class=\"name\">fc</td><td class=\"n\">12</td>"), std::string::npos) << one;
}

TEST(HtmlParts, TextsOfSizesAndMissingNumbers) {
  EXPECT_EQ(sizes_text(Json::array({64, 3, nullptr})), "64 × 3 × ?");
  EXPECT_EQ(optional_text(std::nullopt, 2), "");
  EXPECT_EQ(optional_text(0.5, 2, " s"), "0.50 s");
  EXPECT_EQ(more_than(5, 5), "");
  EXPECT_NE(more_than(1005, 5).find("1,000 more"), std::string::npos);
  EXPECT_EQ(cell(Json{{"name", "<a>"}}, "name"), "&lt;a&gt;");
}

}  // namespace
}  // namespace niwaki
