#include "compress/error.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

TEST(Error, PlacesGrowFromTheInsideOut) {
  ModelError error("E1303", "tensor is too short", {.where = "tensor 'w'", .found = "found 3; needed 4", .help = "copy it again"});
  error.within("model.onnx").within("pass 1 of 2 'quantize'");
  EXPECT_EQ(error.details().where, "pass 1 of 2 'quantize', model.onnx, tensor 'w'");
  EXPECT_STREQ(error.what(), "pass 1 of 2 'quantize', model.onnx, tensor 'w': tensor is too short");
  EXPECT_EQ(error.text(),
            "error[E1303]: tensor is too short\n  --> pass 1 of 2 'quantize', model.onnx, tensor 'w'\n   |  found 3; needed 4\nhelp: copy it again");
}

TEST(Error, LeavesOutWhatIsNotKnown) {
  EXPECT_EQ(UsageError("E2003", "unknown pass").text(), "error[E2003]: unknown pass");
  EXPECT_STREQ(UsageError("E2003", "unknown pass").what(), "unknown pass");
}

TEST(Error, KindSurvivesARethrow) {
  try {
    try {
      throw UnsupportedError("E3101", "no function");
    } catch (Error& error) {
      error.within("node 'a'");
      throw;
    }
  } catch (const UnsupportedError& error) {
    EXPECT_EQ(error.kind(), ErrorKind::unsupported);
    EXPECT_STREQ(error.what(), "node 'a': no function");
  }
}

TEST(Error, ExitCodes) {
  EXPECT_EQ(UsageError("E2", "").exit_code(), 2);
  EXPECT_EQ(ModelError("E1", "").exit_code(), 3);
  EXPECT_EQ(UnsupportedError("E3", "").exit_code(), 3);
  EXPECT_EQ(EnvironmentError("E4", "").exit_code(), 4);
  EXPECT_EQ(InternalError("").exit_code(), 5);
  EXPECT_EQ(InternalError("").code(), "E5001");
}

TEST(ShapeText, WritesLists) {
  EXPECT_EQ(shape_text(std::vector<int64_t>{64, 3, 7, 7}), "[64, 3, 7, 7]");
  EXPECT_EQ(shape_text(std::vector<int64_t>{5}), "[5]");
  EXPECT_EQ(shape_text(std::vector<int64_t>{}), "[]");
}

TEST(Printable, EscapesWhatATerminalWouldObey) {
  EXPECT_EQ(printable("fc.weight"), "fc.weight");
  EXPECT_EQ(printable("\x1b[31mred\n"), "\\u{1b}[31mred\\u{0a}");
  EXPECT_EQ(printable("\xc2\x9b"), "\\u{9b}");                   // C1
  EXPECT_EQ(printable("a\xe2\x80\xae" "b"), "a\\u{202e}b");      // right-to-left override
  EXPECT_EQ(printable("\xe2\x80\x8b"), "\\u{200b}");             // zero width
  EXPECT_EQ(printable("gr\xc3\xbc\xc3\x9f \xf0\x9f\x99\x82"), "gr\xc3\xbc\xc3\x9f \xf0\x9f\x99\x82");
  EXPECT_EQ(printable(std::string("a\0b", 3)), "a\\u{00}b");
}

TEST(Printable, EscapesBytesThatAreNoUtf8) {
  EXPECT_EQ(printable("\xff\xfe"), "\\xff\\xfe");
  EXPECT_EQ(printable("\xc0\xaf"), "\\xc0\\xaf");                // overlong
  EXPECT_EQ(printable("\xed\xa0\x80"), "\\xed\\xa0\\x80");       // surrogate
  EXPECT_EQ(printable("\xe2\x82"), "\\xe2\\x82");                // cut off
  EXPECT_EQ(printable("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80");
}

TEST(Printable, EndsAtTheColumns) {
  EXPECT_EQ(printable("abcdef", 6), "abcdef");
  EXPECT_EQ(printable("abcdefg", 6), "abcdef…");
  EXPECT_EQ(printable("abcde\n", 6), "abcde…");
  EXPECT_EQ(printable(std::string(300, 'x')), std::string(200, 'x') + "…");
}

TEST(Nearest, FindsTypos) {
  const std::vector<std::string> words = {"prune_weights", "quantize_static", "quantize_dynamic"};
  EXPECT_EQ(nearest("prune_weigths", words), "prune_weights");
  EXPECT_EQ(nearest("quantise_static", words), "quantize_static");
  EXPECT_EQ(nearest("xyz", words), "");
  EXPECT_EQ(nearest("", words), "");
  EXPECT_EQ(nearest("word", std::vector<std::string>{}), "");
}

}  // namespace
}  // namespace niwaki
