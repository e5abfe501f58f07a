#include "tests/compress/ops/run_op.h"

#include <gmock/gmock.h>

namespace niwaki {
namespace {

Tensor ints(const std::vector<int64_t>& numbers) { return at::tensor(numbers, at::kLong); }

TEST(Indexing, GatherTakesNegativeIndices) {
  const Tensor x = ints({10, 20, 30});
  expect_equal(run_tensor("Gather", 13, {x, ints({-1, 0})}), ints({30, 10}));
  EXPECT_EQ(run_tensor("Gather", 13, {x, at::scalar_tensor(1, at::kLong)}).dim(), 0);
  EXPECT_THAT(refusal("Gather", 13, {x, ints({3})}), testing::HasSubstr("index 3 is outside an axis of size 3"));
}

TEST(Indexing, TopKPrefersLowerIndices) {
  const RunValues top = run_op("TopK", 11, {at::tensor({1.0, 3.0, 3.0, 2.0}), ints({3})}, {}, 2);
  expect_equal(top[1].tensor, ints({1, 2, 3}));
  const RunValues low = run_op("TopK", 11, {at::tensor({1.0, 3.0, 1.0, 2.0}), ints({2})}, {{"largest", int64_t{0}}}, 2);
  expect_equal(low[1].tensor, ints({0, 2}));
}

TEST(Indexing, ScatterAddsRepeatedIndices) {
  const Tensor zeros = at::zeros({3}, at::kLong);
  expect_equal(run_tensor("ScatterND", 16, {zeros, ints({1, 1, 2}).unsqueeze(1), ints({5, 6, 7})}, {{"reduction", std::string("add")}}), ints({0, 11, 7}));
  expect_equal(run_tensor("ScatterElements", 18, {zeros, ints({0, 0}), ints({4, 9})}, {{"reduction", std::string("max")}}), ints({9, 0, 0}));
}

TEST(Indexing, UniqueKeepsTheOrderOfFirstSight) {
  const RunValues found = run_op("Unique", 11, {ints({5, 1, 5, 3})}, {{"sorted", int64_t{0}}}, 4);
  expect_equal(found[0].tensor, ints({5, 1, 3}));
  expect_equal(found[1].tensor, ints({0, 1, 3}));
  expect_equal(found[2].tensor, ints({0, 1, 0, 2}));
  expect_equal(found[3].tensor, ints({2, 1, 1}));
}

TEST(Indexing, GradientsFlow) {
  EXPECT_LT(gradient_error("Gather", 13, {smooth_numbers({4, 3}), ints({1, 1, -1})}), 1e-6);
  EXPECT_LT(gradient_error("GatherND", 13, {smooth_numbers({3, 3}), ints({0, 2, 1, 1}).reshape({2, 2})}), 1e-6);
  EXPECT_LT(gradient_error("ScatterND", 16, {smooth_numbers({4}), ints({1, 3}).unsqueeze(1), smooth_numbers({2}, 3)}), 1e-6);
  EXPECT_LT(gradient_error("TopK", 11, {smooth_numbers({6}), ints({3})}), 1e-6);
}

}  // namespace
}  // namespace niwaki
