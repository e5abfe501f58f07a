#include "compress/report/escape.h"

#include "tests/compress/report/sample_report.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace niwaki {
namespace {

TEST(Escape, MarkupBecomesText) {
  EXPECT_EQ(html_text("<a href=\"x\">'&"), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;");
  EXPECT_EQ(html_text("\x1b[31m"), "\\u{1b}[31m");
  EXPECT_EQ(html_text("\xff"), "\\xff");
  EXPECT_EQ(xml_text("a\xef\xbf\xbf"
                     "b"),
            "a?b");
}

TEST(Escape, MarkdownHasNoMeaningLeft) {
  EXPECT_EQ(markdown_text("a|b"), "a&#124;b");
  EXPECT_EQ(markdown_text("@octocat"), "&#64;octocat");
  EXPECT_EQ(markdown_text("**x**"), "\\*\\*x\\*\\*");
  EXPECT_EQ(markdown_text("http://x.y"), "http&#58;//x.y");
  EXPECT_EQ(markdown_text("www.x.y"), "&#119;ww.x.y");
  EXPECT_EQ(markdown_text("/layer1/conv.weight"), "/layer1/conv.weight");
}

TEST(Escape, CellsAreNoFormulas) {
  EXPECT_EQ(csv_cell("=1+1"), "'=1+1");
  EXPECT_EQ(csv_cell("a,\"b\""), "\"a,\"\"b\"\"\"");
  EXPECT_EQ(csv_cell("conv1"), "conv1");
  EXPECT_EQ(csv_number(-0.5), "-0.5");
}

TEST(Escape, ShellWordsStayOneWord) {
  EXPECT_EQ(shell_word("out/r20.onnx"), "out/r20.onnx");
  EXPECT_EQ(shell_word("a b"), "'a b'");
  EXPECT_EQ(shell_word("it's"), "'it'\\''s'");
  EXPECT_EQ(shell_word("$(x)"), "'$(x)'");
  EXPECT_EQ(shell_word(""), "''");
}

TEST(Escape, CommandsAndYamlAreData) {
  EXPECT_EQ(annotation_text("50%: a,b"), "50%25%3A a%2Cb");
  EXPECT_EQ(yaml_text("a\"\\: x"), "\"a\\\"\\\\: x\"");
}

TEST(Escape, OriginalBytesAreKept) {
  Json entry;
  set_text(entry, "name", "plain");
  EXPECT_FALSE(entry.contains("name_bytes"));
  set_text(entry, "name",
           "\xff\xfe"
           "a");
  EXPECT_EQ(entry["name"], "\\xff\\xfea");
  EXPECT_EQ(entry["name_bytes"], "//5h");
  set_text(entry, "name", "\xff");
  EXPECT_EQ(entry["name_bytes"], "/w==");
}

TEST(Escape, HostileNamesLeaveNoSink) {
  ASSERT_EQ(hostile_names().size(), 200u);
  for (const std::string& name : hostile_names()) {
    const std::string html = html_text(name), markdown = markdown_text(name), cell = csv_cell(name),
                      line = annotation_text(name);
    EXPECT_EQ(html.find_first_of("<>\"'"), std::string::npos) << html;
    EXPECT_EQ(markdown.find_first_of("<>@|\n"), std::string::npos) << markdown;
    EXPECT_EQ(markdown.find("://"), std::string::npos) << markdown;
    EXPECT_EQ(cell.find_first_of("\r\n"), std::string::npos);
    if (cell[0] != '"') {
      EXPECT_EQ(std::string("=+-@\t").find(cell[0]), std::string::npos) << cell;
    }
    EXPECT_EQ(line.find("::"), std::string::npos);
    for (const std::string& text : {html, markdown, cell, line, xml_text(name), yaml_text(name)}) {
      EXPECT_TRUE(std::none_of(text.begin(), text.end(),
                               [](unsigned char c) { return c < 0x20 || c == 0x7f; }));
      EXPECT_NO_THROW(Json(text).dump());  // strict UTF-8
    }
  }
}

}  // namespace
}  // namespace niwaki
