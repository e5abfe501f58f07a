#include "passes/train/pair_layers.h"

#include "compress/error.h"
#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

/// x -> conv a [width] -> conv b [8] -> + x -> conv out; names say which is which.
Graph block(int64_t width, const std::string& prefix = "") {
  GraphBuilder b;
  const ValueId x = b.node("Conv", {b.input("x", {"n", int64_t{8}, int64_t{4}, int64_t{4}}), b.random_constant("w0", {8, 8, 1, 1})}, {}, prefix + "stem");
  const ValueId h = b.node("Conv", {x, b.random_constant("wa", {width, 8, 1, 1})}, {}, prefix + "a");
  const ValueId y = b.node("Conv", {h, b.random_constant("wb", {8, width, 1, 1})}, {}, prefix + "b");
  b.output(b.node("Conv", {b.node("Add", {y, x}, {}, prefix + "sum"), b.random_constant("wc", {3, 8, 1, 1})}, {}, prefix + "last"), "y");
  return b.graph();
}

TEST(PairLayers, EndsOfBlocksPairByNameWhateverTheInnerWidths) {
  const Graph student = block(5), teacher = block(16);
  const auto pairs = pair_by_name(student, teacher);
  ASSERT_EQ(pairs.size(), 1u);
  EXPECT_EQ(student.value(pairs[0].student).name, teacher.value(pairs[0].teacher).name);
  EXPECT_EQ(student.node(*student.producer(pairs[0].student)).op, "Add");
  EXPECT_DOUBLE_EQ(share_of_namesakes(student, teacher), 1);
}

TEST(PairLayers, AnotherModelHasNoNamesakes) {
  const Graph student = block(5, "s/");
  GraphBuilder b;
  b.output(b.node("Relu", {b.input("x", {"n", int64_t{8}})}), "z");
  const Graph teacher = b.graph();
  EXPECT_TRUE(pair_by_name(student, teacher).empty());
  EXPECT_DOUBLE_EQ(share_of_namesakes(student, teacher), 0);
}

TEST(PairLayers, NamedPairsAreValuesOrNodes) {
  const Graph student = block(5, "s/"), teacher = block(16, "t/");
  const ValueId stem = student.node(student.main().nodes[0]).outputs[0];
  const auto pairs = named_pairs(cat(student.value(stem).name, "=t/a,s/sum=t/sum"), student, teacher);
  ASSERT_EQ(pairs.size(), 2u);
  EXPECT_EQ(pairs[0].student, stem);
  EXPECT_EQ(teacher.label(*teacher.producer(pairs[0].teacher)), "t/a");
  EXPECT_EQ(student.label(*student.producer(pairs[1].student)), "s/sum");
  EXPECT_TRUE(named_pairs("", student, teacher).empty());
}

TEST(PairLayers, RefusesUnknownNamesWithTheNearest) {
  const Graph student = block(5, "s/"), teacher = block(16, "t/");
  const auto code_and_help = [&](const std::string& text) {
    try {
      named_pairs(text, student, teacher);
    } catch (const UsageError& error) {
      return error.code() + " " + error.details().help;
    }
    return std::string();
  };
  EXPECT_EQ(code_and_help("s/sum=t/summ"), "E2007 did you mean 't/sum'?");
  EXPECT_EQ(code_and_help("s/stam=t/sum"), "E2007 did you mean 's/stem'?");
  EXPECT_EQ(code_and_help("s/sum").substr(0, 5), "E2005");
}

}  // namespace
}  // namespace niwaki
