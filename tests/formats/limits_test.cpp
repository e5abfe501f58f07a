#include "formats/limits.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

TEST(Limits, EveryMemberHasOneName) {
  EXPECT_EQ(std::size(kLimitFields) * sizeof(uint64_t), sizeof(Limits));
  Limits limits;
  uint64_t number = 1;
  for (const LimitField& field : kLimitFields) EXPECT_TRUE(limits.set(field.name, number++));
  number = 1;
  for (const LimitField& field : kLimitFields)
    EXPECT_EQ(limits.*field.member, number++) << field.name;
  EXPECT_FALSE(limits.set("no_such_limit", 1));
}

TEST(Limits, StrictDividesBySixteenAndStaysUsable) {
  const Limits strict = Limits::strict();
  EXPECT_EQ(strict.nodes, Limits().nodes / 16);
  EXPECT_EQ(strict.file_bytes, uint64_t{1} << 36);
  EXPECT_GE(strict.rank, 8u);
  for (const LimitField& field : kLimitFields) EXPECT_GT(strict.*field.member, 0u) << field.name;
}

}  // namespace
}  // namespace niwaki
