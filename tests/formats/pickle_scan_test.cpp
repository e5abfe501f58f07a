#include "formats/pickle_scan.h"

#include <gtest/gtest.h>

#include "tests/formats/zip_bytes.h"

namespace niwaki {
namespace {

using namespace std::string_literals;
using zip_bytes::code_of;

std::vector<PickleGlobal> scan(const std::string& bytes, const Limits& limits = {}) {
  size_t at = 0;
  return scan_pickle(bytes, at, limits, "m.pt");
}

TEST(PickleScan, FindsGlobalsOfEveryForm) {
  const auto old_form = scan("\x80\2cos\nsystem\n(X\3\0\0\0lsltR."s);
  ASSERT_EQ(old_form.size(), 1u);
  EXPECT_EQ(old_form[0].module + "." + old_form[0].name, "os.system");
  EXPECT_EQ(old_form[0].offset, 2u);
  const auto new_form = scan("\x80\4\x95\x10\0\0\0\0\0\0\0\x8c\2os\x8c\6system\x93."s);
  ASSERT_EQ(new_form.size(), 1u);
  EXPECT_EQ(new_form[0].module + "." + new_form[0].name, "os.system");
  EXPECT_EQ(scan("(ios\nsystem\n."s).size(), 1u);
  EXPECT_EQ(scan("\x80\2\x82\1."s).size(), 1u);
  EXPECT_TRUE(scan("\x80\2}q\0."s).empty());
}

TEST(PickleScan, DamageHasACode) {
  EXPECT_EQ(code_of([] { scan(""); }), "E1503");
  EXPECT_EQ(code_of([] { scan("\x80"); }), "E1503");
  EXPECT_EQ(code_of([] { scan("\x80\2X\xff\xff\xff\xff"); }), "E1503");
  EXPECT_EQ(code_of([] { scan("\x8d\xff\xff\xff\xff\xff\xff\xff\xff"); }), "E1503");
  EXPECT_EQ(code_of([] { scan("cos"); }), "E1503");
  EXPECT_EQ(code_of([] { scan("\xf0."); }), "E1504");
  Limits limits;
  limits.pickle_opcodes = 10;
  EXPECT_EQ(code_of([&] { scan(std::string(100, 'N') + ".", limits); }), "E1004");
}

TEST(PickleScan, TensorGlobals) {
  for (const auto& [module, name] :
       {std::pair("torch._utils", "_rebuild_tensor_v2"), std::pair("torch", "FloatStorage"),
        std::pair("collections", "OrderedDict"), std::pair("__torch__.net", "Net")}) {
    EXPECT_TRUE(is_tensor_global({module, name})) << module;
  }
  for (const auto& [module, name] : {std::pair("os", "system"), std::pair("torch.nn", "Linear"),
                                     std::pair("__builtin__", "eval"), std::pair("torch", "load"),
                                     std::pair("__torch__x", "Net")}) {
    EXPECT_FALSE(is_tensor_global({module, name})) << module;
  }
}

}  // namespace
}  // namespace niwaki
