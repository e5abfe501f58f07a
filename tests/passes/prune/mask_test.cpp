#include "passes/prune/mask.h"

#include "compress/parallel.h"
#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

int64_t zeros(const Tensor& mask) { return (~mask).sum().item<int64_t>(); }

TEST(Mask, CountsAreExactWithTiesAndZeros) {                // T12
  const Tensor scores = at::tensor({0.0, 1.0, 1.0, 0.0, 1.0, 2.0, 1.0}, at::kDouble);
  EXPECT_TRUE(at::equal(lowest_mask(scores, 3), at::tensor({0, 0, 1, 0, 1, 1, 1}, at::kLong).to(at::kBool)));
  for (int64_t count = 0; count <= 7; ++count) EXPECT_EQ(zeros(lowest_mask(scores, count)), count);
  EXPECT_EQ(zeros(lowest_mask(at::ones({40, 25}), 333)), 333);
  EXPECT_EQ(zero_count(10, 0.25), 3);
  EXPECT_EQ(zero_count(0, 0.5), 0);
}

TEST(Mask, ManyScoresAreCutWhereSortingCutsThem) {          // T12, T17: several tasks, ties across them, both signs and zeros
  const Tensor scores = at::round(random_tensor({500, 400}, 5).to(at::kDouble) * 20) / 8;
  const Tensor flat = scores.reshape({-1}), order = at::argsort(flat, /*stable=*/true, 0, false);
  for (const int64_t count : {1, 77, 50000, 100001, 199999}) {
    const Tensor wanted = at::ones_like(flat, at::kBool).index_fill_(0, order.slice(0, 0, count), false).reshape(scores.sizes());
    for (const int threads : {1, 2}) {
      set_num_threads(threads);
      EXPECT_TRUE(at::equal(lowest_mask(scores, count), wanted)) << count;
    }
  }
  set_num_threads(0);
}

TEST(Mask, RowsShareTheCount) {
  const Tensor scores = random_tensor({7, 10}, 1).abs();
  const Tensor mask = lowest_mask_by_row(scores, 31);
  EXPECT_EQ(zeros(mask), 31);
  const Tensor rows = (~mask).sum(1);
  EXPECT_GE(rows.min().item<int64_t>(), 4);
  EXPECT_LE(rows.max().item<int64_t>(), 5);
}

TEST(Mask, AllTensorsTogether) {
  const std::vector<Tensor> scores = {at::tensor({1.0, 9.0}), at::tensor({2.0, 3.0, 8.0}).reshape({3, 1})};
  const auto masks = lowest_masks(scores, 3);
  EXPECT_EQ(zeros(masks[0]), 1);
  EXPECT_EQ(zeros(masks[1]), 2);
  EXPECT_EQ(masks[1].sizes(), scores[1].sizes());
}

TEST(Mask, GroupsRunAlongTheInputsOfATap) {
  // 5 inputs of 2 taps: column = input * 2 + tap
  const ColumnGroups groups = column_groups(5, 2, 4);
  EXPECT_EQ(groups.order, (std::vector<int64_t>{0, 2, 4, 6, 8, 1, 3, 5, 7, 9}));
  EXPECT_EQ(groups.starts, (std::vector<int64_t>{0, 4, 5, 9}));
  const Tensor mask = pattern_mask(random_tensor({3, 10}, 2).abs(), groups, 2).reshape({3, 5, 2});
  EXPECT_TRUE((mask.slice(1, 0, 4).sum(1) == 2).all().item<bool>());
  EXPECT_TRUE(mask.slice(1, 4, 5).all().item<bool>());               // the short group keeps its only one
  const Tensor ties = pattern_mask(at::zeros({1, 4}), column_groups(4, 1, 4), 2);
  EXPECT_TRUE(at::equal(ties, at::tensor({0, 0, 1, 1}, at::kLong).to(at::kBool).reshape({1, 4})));
}

TEST(Mask, ScoresAcrossLayers) {
  const Tensor w = at::tensor({3.0, -4.0}, at::kDouble);
  EXPECT_TRUE(at::allclose(rms_scores(w), at::tensor({3.0, 4.0}, at::kDouble) / std::sqrt(12.5)));
  EXPECT_TRUE(at::allclose(lamp_scores(w), at::tensor({9.0 / 25, 1.0}, at::kDouble)));
  EXPECT_EQ(rms_scores(at::zeros({3})).sum().item<double>(), 0);
  EXPECT_EQ(lamp_scores(at::zeros({3})).sum().item<double>(), 0);
  EXPECT_TRUE(at::allclose(lamp_scores(w * 7), lamp_scores(w)));     // a layer's scale does not matter
}

}  // namespace
}  // namespace niwaki
