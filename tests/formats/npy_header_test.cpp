#include "formats/npy_header.h"

#include <gtest/gtest.h>

#include "tests/formats/zip_bytes.h"

namespace niwaki {
namespace {

using namespace zip_bytes;

std::string with_header(const std::string& text, char version = 1) {
  const std::string length = little(text.size(), version == 1 ? 2 : 4);
  return "\x93NUMPY" + std::string{version, '\0'} + length + text;
}
std::string dictionary(const std::string& descr, const std::string& shape = "(3, 4)",
                       const std::string& order = "False") {
  return "{'descr': " + descr + ", 'fortran_order': " + order + ", 'shape': " + shape + ", }  \n";
}
std::string code(const std::string& text) {
  return code_of([&] { parse_npy_header(with_header(text), "a.npy"); });
}

TEST(NpyHeader, ReadsWhatNumPyWrites) {
  for (const char version : {1, 2, 3}) {
    const NpyHeader header = parse_npy_header(with_header(dictionary("'<f4'"), version), "a.npy");
    EXPECT_EQ(header.dtype, DType::float32);
    EXPECT_EQ(header.sizes, (std::vector<int64_t>{3, 4}));
    EXPECT_FALSE(header.fortran_order);
    EXPECT_EQ(header.item_bytes, 4);
  }
  EXPECT_TRUE(
      parse_npy_header(with_header(dictionary("'<i8'", "(5,)", "True")), "a").fortran_order);
  EXPECT_TRUE(parse_npy_header(with_header(dictionary("'|b1'", "()")), "a").sizes.empty());
  const NpyHeader text = parse_npy_header(with_header(dictionary("'<U7'", "(2,)")), "a");
  EXPECT_EQ(text.dtype, DType::string);
  EXPECT_EQ(text.item_bytes, 28);
}

TEST(NpyHeader, WritesWhatItReads) {
  for (const std::vector<int64_t>& sizes :
       std::vector<std::vector<int64_t>>{{}, {5}, {0, 3}, {2, 3, 4}}) {
    const std::string bytes = npy_header(npy_descr(DType::float16), sizes);
    EXPECT_EQ(bytes.size() % 64, 0u);
    const NpyHeader header = parse_npy_header(bytes, "a");
    EXPECT_EQ(header.sizes, sizes);
    EXPECT_EQ(header.data_offset, bytes.size());
  }
  EXPECT_EQ(npy_descr(DType::bfloat16), "");
}

TEST(NpyHeader, Grammar) {
  for (const char* text :
       {"", "{", "{}", "[1]", "{'descr': '<f4'}\n",
        "{'descr': '<f4', 'fortran_order': 0, 'shape': (1,), }\n",
        "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1,), }\n",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'x': 1, }\n",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), } + evil()\n"}) {
    EXPECT_EQ(code(text), "E1701") << text;
  }
  for (const char* shape :
       {"(1)", "(-1,)", "(1, 2", "(1L,)", "(99999999999999999999,)", "3", "(a,)"}) {
    EXPECT_EQ(code(dictionary("'<f4'", shape)), "E1701") << shape;
  }
  EXPECT_EQ(code_of([] { parse_npy_header("hello, this is text", "a"); }), "E1701");
  EXPECT_EQ(code_of([] { parse_npy_header(with_header(dictionary("'<f4'"), 4), "a"); }), "E1701");
}

TEST(NpyHeader, Types) {
  for (const char* descr : {"'|O'", "'>f4'", "'|V8'", "'<M8[ns]'", "'<f16'", "[('a', '<f4')]",
                            "'<U-1'", "'<U'", "'<U0'", "'|S99999999999'"}) {
    EXPECT_EQ(code(dictionary(descr)), "E1702") << descr;
  }
}

TEST(NpyHeader, EveryTruncationAndBitFlipEndsWithACode) {
  const std::string good = with_header(dictionary("'<f4'"));
  for (size_t length = 0; length < good.size(); ++length) {
    EXPECT_EQ(code_of([&] { parse_npy_header(good.substr(0, length), "a"); }), "E1701") << length;
  }
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string flipped = good;
    flipped[bit / 8] ^= static_cast<char>(1 << bit % 8);
    const std::string got = code_of([&] { parse_npy_header(flipped, "a"); });
    EXPECT_TRUE(got == "E1701" || got == "E1702" || got == "accepted") << got;
  }
}

}  // namespace
}  // namespace niwaki
