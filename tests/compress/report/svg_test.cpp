#include "compress/report/svg.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

namespace niwaki {
namespace {

using testing::HasSubstr;
using testing::Not;

size_t count(const std::string& text, const std::string& word) {
  size_t found = 0;
  for (size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) ++found;
  return found;
}

TEST(Svg, BarsAreProportional) {
  const std::vector<Bar> bars = {{"a", 100, "100", std::nullopt}, {"b", 25, "25", std::nullopt}};
  const std::string plot = bar_chart(bars, "bytes");
  EXPECT_THAT(plot, HasSubstr("width=\"360.0\""));
  EXPECT_THAT(plot, HasSubstr("width=\"90.0\""));
  EXPECT_EQ(count(plot, "<rect"), 2u);
}

TEST(Svg, LabelsAreEscaped) {
  const std::vector<Bar> bars = {{"<b>", 1, "\"&", std::nullopt}};
  const std::string plot = bar_chart(bars, "<title>");
  EXPECT_THAT(plot, HasSubstr("&lt;b&gt;"));
  EXPECT_THAT(plot, Not(HasSubstr("<b>")));
  EXPECT_THAT(plot, HasSubstr("&quot;&amp;"));
}

TEST(Svg, OddNumbersDrawNothingOdd) {
  const std::vector<Bar> bars = {{"a", std::nan(""), "", std::nullopt},
                                 {"b", std::numeric_limits<double>::infinity(), "", -1}};
  const std::string plot = bar_chart(bars, "odd");
  EXPECT_THAT(plot, Not(HasSubstr("nan")));
  EXPECT_THAT(plot, Not(HasSubstr("inf\"")));
}

TEST(Svg, DotsHaveWhiskersAndAReference) {
  const std::vector<Dot> dots = {{"ratio", 0.5, 0.4, 0.6, "0.5x"},
                                 {"bare", 0.7, std::nullopt, std::nullopt, ""}};
  const std::string plot = dot_plot(dots, 1, "latency");
  EXPECT_EQ(count(plot, "<circle"), 2u);
  EXPECT_EQ(count(plot, "class=\"whisker\""), 3u);
  EXPECT_THAT(plot, HasSubstr("stroke-dasharray"));
}

TEST(Svg, HistogramsMergeBinsAndMarkTheRange) {
  std::vector<double> edges, counts;
  for (int i = 0; i <= 2048; ++i) edges.push_back(i);
  counts.assign(2048, 3);
  const std::string plot = histogram(edges, counts, 512, 1024, "values");
  EXPECT_EQ(count(plot, "class=\"bar\""), 128u);
  EXPECT_EQ(count(plot, "class=\"range\""), 2u);
  EXPECT_THAT(plot, HasSubstr("range 512 to 1024"));
  EXPECT_EQ(histogram(counts, counts, 0, 1, "wrong sizes"), "");
}

TEST(Svg, LinesRunFromTheirFirstPointToTheirLast) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<Curve> curves = {{"training", {{1, 2}, {2, nan}, {4, 1}}}, {"held <out>", {{0, 2}, {4, 1}}}, {"nothing", {{1, nan}}}};
  const std::string plot = line_chart(curves, "Loss");
  EXPECT_EQ(count(plot, "<polyline"), 2u);
  EXPECT_THAT(plot, HasSubstr("points=\"64.0,12.0 610.0,102.0\""));
  EXPECT_THAT(plot, HasSubstr("held &lt;out&gt;"));
  EXPECT_THAT(plot, Not(HasSubstr("nan")));
}

}  // namespace
}  // namespace niwaki
