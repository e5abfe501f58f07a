#include "compress/ops/text.h"

#include "compress/ops/op_arguments.h"
#include "tests/compress/ops/run_op.h"

#include <gmock/gmock.h>

namespace niwaki {
namespace {

RunValues run_strings(const std::string& op, const Strings& strings, const Attributes& attributes = {}) {
  Node node;
  node.op = op;
  node.attributes = attributes;
  const RunValues inputs{string_value(strings, {static_cast<int64_t>(strings.size())})};
  return find_op("", op)(OpCall{node, 20, inputs, {}});
}

TEST(Text, NormalizerDropsStopWords) {
  const RunValues found = run_strings("StringNormalizer", {"Monday", "Tuesday", "\xC3\x84pfel"},
                                      {{"case_change_action", std::string("UPPER")}, {"stopwords", Strings{"monday"}}});
  EXPECT_EQ(*found[0].strings, (Strings{"TUESDAY", "\xC3\x84PFEL"}));
  const RunValues none = run_strings("StringNormalizer", {"a"}, {{"stopwords", Strings{"a"}}, {"is_case_sensitive", int64_t{1}}});
  EXPECT_EQ(*none[0].strings, Strings{""});
}

TEST(Text, SplitPadsShortRows) {
  const RunValues found = run_strings("StringSplit", {"a,b,c", "d"}, {{"delimiter", std::string(",")}, {"maxsplit", int64_t{1}}});
  EXPECT_EQ(*found[0].strings, (Strings{"a", "b,c", "d", ""}));
  expect_equal(found[1].tensor, at::tensor({2, 1}, at::kLong));
}

TEST(Text, RegexMatchesWholeStrings) {
  expect_equal(run_strings("RegexFullMatch", {"abc", "abcd"}, {{"pattern", std::string("a.c")}})[0].tensor, at::tensor({1, 0}, at::kLong).to(at::kBool));
  EXPECT_THROW(run_strings("RegexFullMatch", {"a"}, {{"pattern", std::string("(")}}), UnsupportedError);
}

}  // namespace
}  // namespace niwaki
