#include "passes/prune/schedule.h"

#include "passes/prune/mask.h"
#include "tests/graph_builder.h"

#include <gtest/gtest.h>

#include <cstring>

namespace niwaki {
namespace {

int64_t num_kept(const Tensor& mask) { return mask.sum().item<int64_t>(); }
bool is_inside(const Tensor& inner, const Tensor& outer) { return !(inner & ~outer).any().item<bool>(); }
bool same_bytes(const Tensor& a, const Tensor& b) { return a.sizes() == b.sizes() && std::memcmp(a.contiguous().const_data_ptr(), b.contiguous().const_data_ptr(), a.nbytes()) == 0; }
bool is_plus_zero(const Tensor& x) { return ((x == 0) & ~x.signbit()).all().item<bool>(); }

/// y = x w for a w of few large numbers, fitted by Adam with weight decay.
struct Problem {
  Tensor x = random_tensor({200, 12}, 1), truth = random_tensor({12, 8}, 2) * (random_tensor({12, 8}, 3).abs() > 1);
  Tensor y = x.mm(truth), w = random_tensor({12, 8}, 4) / 3, mean = at::zeros({12, 8}), square = at::zeros({12, 8});
  int64_t step = 0;
  Tensor gradient(const Tensor& weights) const { return x.t().mm(x.mm(weights) - y) / 200; }
  void adam(const Tensor& given, double rate = 0.02, double decay = 0.01) {
    ++step;
    mean = 0.9 * mean + 0.1 * given;
    square = 0.99 * square + 0.01 * given * given;
    const Tensor change = mean / (1 - std::pow(0.9, step)) / ((square / (1 - std::pow(0.99, step))).sqrt() + 1e-8);
    w = w - rate * (change + decay * w);
  }
  double loss(const Tensor& weights) const { return (x.mm(weights) - y).square().mean().item<double>(); }
};

TEST(GradualSchedule, IsCubic) {
  const GradualSchedule schedule{.first = 0.1, .last = 0.9, .begin = 100, .end = 300, .interval = 50};
  EXPECT_DOUBLE_EQ(schedule.sparsity(0), 0.1);
  EXPECT_DOUBLE_EQ(schedule.sparsity(100), 0.1);
  EXPECT_DOUBLE_EQ(schedule.sparsity(200), 0.9 - 0.8 / 8);
  EXPECT_DOUBLE_EQ(schedule.sparsity(300), 0.9);
  EXPECT_DOUBLE_EQ(schedule.sparsity(1000), 0.9);
  std::vector<int64_t> due;
  for (int64_t step = 0; step < 400; ++step) {
    if (schedule.is_due(step)) due.push_back(step);
  }
  EXPECT_EQ(due, (std::vector<int64_t>{100, 150, 200, 250, 300}));
}

TEST(GradualSchedule, WeightsNeverReturn) {
  Problem problem;
  const GradualSchedule schedule{.last = 0.75, .begin = 10, .end = 210, .interval = 20};
  Tensor mask = at::ones({12, 8}, at::kBool);
  for (int64_t step = 0; step < 300; ++step) {
    problem.adam(problem.gradient(problem.w));
    if (schedule.is_due(step)) {
      const Tensor narrower = narrower_mask(problem.w.abs(), mask, zero_count(96, schedule.sparsity(step)));
      EXPECT_TRUE(is_inside(narrower, mask));
      mask = narrower;
      EXPECT_EQ(96 - num_kept(mask), zero_count(96, schedule.sparsity(step)));
    }
    problem.w = apply_mask(problem.w, mask);
    problem.mean = apply_mask(problem.mean, mask);
    problem.square = apply_mask(problem.square, mask);
  }
  EXPECT_EQ(num_kept(mask), 24);
  EXPECT_LT(problem.loss(problem.w), 0.1 * problem.loss(at::zeros_like(problem.w)));
}

TEST(ApplyMask, SurvivesAHundredSteps) {                    // T37
  Problem problem;
  const Tensor mask = pattern_mask(problem.w.abs(), column_groups(8, 1, 4), 2);
  for (int step = 0; step < 100; ++step) {
    problem.adam(problem.gradient(problem.w));
    problem.w = apply_mask(problem.w, mask);
    problem.mean = apply_mask(problem.mean, mask);
    problem.square = apply_mask(problem.square, mask);
    ASSERT_TRUE(is_plus_zero(problem.w.masked_select(~mask)));
    ASSERT_TRUE(is_plus_zero(problem.mean.masked_select(~mask)));
  }
  EXPECT_TRUE(((problem.w != 0).reshape({12, 2, 4}).sum(2) == 2).all().item<bool>());
}

TEST(ApplyMask, LeavesNoNegativeZeroAndNoNan) {
  const Tensor w = at::tensor(std::vector<float>{-0.0F, NAN, -INFINITY, -2.0F}), mask = at::tensor(std::vector<int64_t>{0, 0, 0, 1}).to(at::kBool);
  const Tensor masked = apply_mask(w, mask);
  EXPECT_TRUE(is_plus_zero(masked.narrow(0, 0, 3)));
  EXPECT_EQ(masked[3].item<float>(), -2);
}

TEST(NextRound, MasksAreNestedAndCountsExact) {             // T42
  for (const MaskScope scope : {MaskScope::layer, MaskScope::global}) {
    std::vector<Tensor> weights = {random_tensor({10, 20}, 1), random_tensor({50, 6}, 2) * 0.2}, masks;
    for (const Tensor& w : weights) masks.push_back(at::ones(w.sizes(), at::kBool));
    for (int round = 0; round < 6; ++round) {
      const auto next = next_round(weights, masks, 0.2, scope);
      int64_t before = 0, after = 0;
      for (size_t i = 0; i < 2; ++i) {
        EXPECT_TRUE(is_inside(next[i], masks[i]));
        before += num_kept(masks[i]);
        after += num_kept(next[i]);
        if (scope == MaskScope::layer) {
          EXPECT_EQ(num_kept(next[i]), num_kept(masks[i]) - zero_count(num_kept(masks[i]), 0.2));
        }
      }
      if (scope == MaskScope::global) {
        EXPECT_EQ(after, before - zero_count(before, 0.2));
      }
      masks = next;
      for (size_t i = 0; i < 2; ++i) weights[i] = apply_mask(random_tensor(weights[i].sizes().vec(), 10 + round), masks[i]);
    }
  }
}

TEST(NextRound, TheLastWeightStays) {
  const auto next = next_round({at::ones({1})}, {at::ones({1}, at::kBool)}, 0.9, MaskScope::layer);
  EXPECT_EQ(num_kept(next[0]), 1);
}

TEST(Rewind, GivesBackTheBytesOfKeptWeights) {              // T42
  Problem problem;
  for (int step = 0; step < 5; ++step) problem.adam(problem.gradient(problem.w));
  const std::vector<Tensor> earlier = {problem.w.clone()};
  const Tensor copy = problem.w.clone();
  std::vector<Tensor> masks = {at::ones({12, 8}, at::kBool)};
  for (int round = 0; round < 4; ++round) {
    for (int step = 0; step < 60; ++step) {
      problem.adam(problem.gradient(problem.w));
      problem.w = apply_mask(problem.w, masks[0]);
    }
    masks = next_round({problem.w}, masks, 0.2, MaskScope::layer);
    problem.w = rewind(earlier, masks)[0];
    EXPECT_TRUE(same_bytes(problem.w.masked_select(masks[0]), copy.masked_select(masks[0])));
    EXPECT_TRUE(is_plus_zero(problem.w.masked_select(~masks[0])));
  }
  EXPECT_TRUE(same_bytes(earlier[0], copy));
}

TEST(SrSte, DecaysWhatIsMasked) {
  const Tensor gradient = at::tensor(std::vector<float>{1, 2}), w = at::tensor(std::vector<float>{10, 20}), mask = at::tensor(std::vector<int64_t>{1, 0}).to(at::kBool);
  EXPECT_TRUE(at::allclose(sr_ste_gradient(gradient, w, mask, 0.1), at::tensor(std::vector<float>{1, 4})));
}

TEST(SrSte, KeepsTheDenseWeightsAndTheCounts) {             // T37
  Problem problem;
  Tensor mask;
  for (int step = 0; step < 300; ++step) {
    mask = pattern_mask(problem.w.abs(), column_groups(8, 1, 4), 2);
    ASSERT_TRUE((mask.reshape({12, 2, 4}).sum(2) == 2).all().item<bool>());
    problem.adam(sr_ste_gradient(problem.gradient(apply_mask(problem.w, mask)), problem.w, mask, 2e-3), 0.02, 0);
  }
  const Tensor best = pattern_mask(problem.truth.abs(), column_groups(8, 1, 4), 2);
  EXPECT_LT(problem.loss(apply_mask(problem.w, mask)), 2 * problem.loss(apply_mask(problem.truth, best)) + 1e-3);
}

}  // namespace
}  // namespace niwaki
