#include "passes/train/pair_attention.h"

#include "tests/passes/train/attention_fixture.h"
#include "tests/passes/train/train_fixture.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

Dataset tokens_for(const Graph& graph) { return Dataset(graph, samples_of({{"x", random_tensor({6, 5, 8}, 3)}}), {.batch = 2}, "data"); }

TEST(PairAttention, FindsSharesAndWhatTheyMultiply) {
  const Graph graph = attention_net(2, 2, 1, "");
  const auto found = find_attention(graph, graph, tokens_for(graph));
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(graph.node(*graph.producer(found[0].shares)).op, "Softmax");
  EXPECT_EQ(graph.label(*graph.producer(found[1].values)), "v1");
}

TEST(PairAttention, PairsByNameElseByDepth) {
  const Graph student = attention_net(2, 2, 1, "s."), teacher = attention_net(4, 4, 9, "t.");
  const Dataset data = tokens_for(student);
  const auto pairs = pair_attention(student, teacher, data);
  ASSERT_EQ(pairs.size(), 2u);
  EXPECT_EQ(teacher.label(*teacher.producer(pairs[0].teacher.values)), "t.v1");
  EXPECT_EQ(teacher.label(*teacher.producer(pairs[1].teacher.values)), "t.v3");
  const auto named = pair_attention(student, attention_net(4, 4, 9, "s."), data);
  EXPECT_EQ(named[1].teacher.shares, named[1].student.shares);
  EXPECT_NE(pairs[1].teacher.shares, pairs[1].student.shares);
}

TEST(PairAttention, ASoftmaxOfClassesIsNone) {
  const Graph net = small_net(4, 1, true), attention = attention_net(1, 2, 1, "");
  EXPECT_TRUE(find_attention(net, net, samples_for(net, net, 4, false)).empty());
  EXPECT_EQ(find_attention(attention, attention, tokens_for(attention)).size(), 1u);
}

}  // namespace
}  // namespace niwaki
