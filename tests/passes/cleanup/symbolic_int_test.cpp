#include "passes/cleanup/symbolic_int.h"

#include <gtest/gtest.h>

#include <limits>

namespace niwaki {
namespace {

const SymbolicInt kN = SymbolicInt::symbol(0), kT = SymbolicInt::symbol(1);

TEST(SymbolicInt, CountsAsANumberWithoutSymbols) {
  EXPECT_EQ(SymbolicInt(7).constant(), 7);
  EXPECT_EQ(SymbolicInt().constant(), 0);
  EXPECT_EQ(kN.constant(), std::nullopt);
  EXPECT_EQ(difference(kN, kN)->constant(), 0);
}

TEST(SymbolicInt, IsOnePolynomialHoweverItWasComputed) {
  const auto left = product(*sum(kN, 2), *sum(kT, 3));
  const auto right = sum(*sum(*product(kN, kT), *product(kN, 3)), *sum(*product(2, kT), 6));
  EXPECT_EQ(*left, *right);
  EXPECT_EQ(left->text(), right->text());
  EXPECT_NE(*product(kN, kT), *product(kN, kN));
}

TEST(SymbolicInt, KnowsSignsOfLengths) {
  EXPECT_TRUE(kN.is_at_least(0));
  EXPECT_FALSE(kN.is_at_least(1));           // a batch may be empty
  EXPECT_TRUE(sum(kN, 1)->is_at_least(1));
  EXPECT_FALSE(difference(kT, kN)->is_at_least(-1000));
}

TEST(SymbolicInt, DividesOnlyWithoutARest) {
  EXPECT_EQ(*exact_quotient(*product(kN, 8), 2), *product(kN, 4));
  EXPECT_EQ(*exact_quotient(*product(*product(kN, kT), 8), *product(kT, 4)), *product(kN, 2));
  EXPECT_EQ(exact_quotient(*product(kN, 3), 2), std::nullopt);
  EXPECT_EQ(exact_quotient(kN, kT), std::nullopt);
  EXPECT_EQ(exact_quotient(kN, 0), std::nullopt);
  EXPECT_EQ(exact_quotient(0, 0), std::nullopt);
  EXPECT_EQ(*exact_quotient(*sum(kN, kT), *sum(kT, kN)), SymbolicInt(1));
}

TEST(SymbolicInt, GivesNothingOnOverflow) {
  const SymbolicInt largest = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(sum(largest, 1), std::nullopt);
  EXPECT_EQ(product(*product(kN, largest), 2), std::nullopt);
  EXPECT_EQ(exact_quotient(std::numeric_limits<int64_t>::min(), -1), std::nullopt);
}

}  // namespace
}  // namespace niwaki
