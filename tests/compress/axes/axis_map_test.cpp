#include "compress/axes/axis_map.h"

#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

TEST(AxisMap, RemembersWhatFroze) {
  const Graph graph;
  AxisMap map(graph, {});
  const Ids a = map.fresh_axis(2), b = map.fresh_axis(2), c = map.fresh_axis(3);
  map.unite(a, b);
  EXPECT_EQ(map.find(a[1]), map.find(b[1]));
  EXPECT_FALSE(map.is_frozen(a));
  map.freeze(a, "says so");
  EXPECT_TRUE(map.is_frozen(b));
  EXPECT_EQ(map.reason(b[0]), "says so");
  map.unite(c, b);                           // lengths differ
  EXPECT_TRUE(map.is_frozen(c));
  EXPECT_EQ(map.find(0), 0U);
}

TEST(AxisMap, AFrozenIdFreezesWhatItMeets) {
  const Graph graph;
  AxisMap map(graph, {});
  const Ids a = map.fresh_axis(1), b = map.fresh_axis(1);
  map.unite(a, Ids{0});
  map.unite(b, a);
  EXPECT_TRUE(map.is_frozen(b));
}

TEST(AxisMap, ComparesUnknownLengths) {
  const Graph graph;
  AxisMap map(graph, {});
  const uint32_t batch = map.unknown_axis().symbol, time = map.unknown_axis().symbol;
  EXPECT_EQ(map.joined_symbol(batch, batch), batch);
  EXPECT_EQ(map.joined_symbol(batch, time), 0U);
  const uint32_t part = map.bounded_axis(time).symbol;
  EXPECT_EQ(map.joined_symbol(part, time), time);
  EXPECT_EQ(map.joined_symbol(time, part), time);
  EXPECT_EQ(map.joined_symbol(batch, part), 0U);
}

}  // namespace
}  // namespace niwaki
