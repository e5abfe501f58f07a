#include "compress/train/shared_weights.h"

#include "tests/compress/train/trainer_fixture.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

int64_t num_values(const Tensor& w) { return std::get<0>(at::_unique(w.reshape({-1}))).numel(); }

TEST(SharedWeights, CodesOfWhatSharesFewValues) {
  GraphBuilder b;
  const Tensor levels = at::tensor({-0.5f, 0.0f, 0.25f, 1.0f}), codes = at::arange(40, at::kLong).remainder(4).reshape({5, 8});
  const ValueId shared = b.constant("shared", levels.index_select(0, codes.flatten()).reshape({5, 8}));
  const ValueId free = b.constant("free", random_tensor({5, 8}, 1)), zero = b.constant("zero", at::zeros({5, 8}));
  const ValueId small = b.constant("small", levels.reshape({1, 4}).expand({2, 4}).contiguous()), bias = b.constant("bias", levels.repeat({10}));
  b.output(b.node("Concat", {shared, free, zero}, {{"axis", int64_t{0}}}));
  const auto found = codes_of_shared(b.graph(), {shared, free, zero, small, bias});
  ASSERT_EQ(found.size(), 1u);
  EXPECT_TRUE(at::equal(found.at(shared), codes));
}

TEST(SharedWeights, GradientIsThatOfTheValues) {
  const Tensor codes = at::tensor(std::vector<int64_t>{0, 1, 1, 2, 0, 1}).reshape({2, 3}), x = random_tensor({4, 3}, 1).to(at::kDouble);
  const Tensor levels = at::tensor(std::vector<double>{0.3, -0.7, 1.1});
  const auto loss = [&](const Tensor& l) { return x.mm(l.index_select(0, codes.flatten()).reshape({2, 3}).t()).pow(3).sum().item<double>(); };
  const Tensor w = levels.index_select(0, codes.flatten()).reshape({2, 3});
  const Tensor gradient = (3 * x.mm(w.t()).square()).t().mm(x), shared = shared_gradient(gradient, codes);
  double squares = 0;
  for (int64_t k = 0; k < 3; ++k) {
    Tensor up = levels.clone(), down = levels.clone();
    up[k] += 1e-5;
    down[k] -= 1e-5;
    const double wanted = (loss(up) - loss(down)) / 2e-5;
    squares += wanted * wanted;
    EXPECT_NEAR(shared.masked_select(codes == k)[0].item<double>(), wanted, 1e-5 * std::abs(wanted));
  }
  EXPECT_NEAR(shared_squares(gradient, codes), squares, 1e-4 * squares);
}

TEST(SharedWeights, TiedTakesTheFirst) {
  const Tensor codes = at::tensor(std::vector<int64_t>{3, 0, 3, 0}).reshape({2, 2});
  EXPECT_TRUE(at::equal(tied(at::tensor({1.0f, 2.0f, 3.0f, 4.0f}).reshape({2, 2}), codes), at::tensor({1.0f, 2.0f, 1.0f, 2.0f}).reshape({2, 2})));
}

TEST(SharedWeights, StaySharedWhileTheyLearn) {
  for (const OptimizerKind optimizer : {OptimizerKind::adamw, OptimizerKind::sgd}) {
    Lesson lesson(200, 0.5);
    const ValueId id = *lesson.graph.find_value("w1");
    Constant constant = *lesson.graph.constant(id);
    const Tensor before = (lesson.weight("w1") * 8).round() / 8;            // zeros, and few other values
    constant.storage = before;
    lesson.graph.set_constant(id, std::move(constant));
    lesson.training.masks = masks_of_zeros(lesson.graph, lesson.training.trainable);
    lesson.training.shared = codes_of_shared(lesson.graph, lesson.training.trainable);
    ASSERT_EQ(lesson.training.shared.size(), 1u);
    const TrainReport report = lesson.run({.optimizer = optimizer, .learning_rate = 1e-2, .epochs = 8, .batch = 20, .average = 0.9});
    const Tensor after = lesson.weight("w1");
    EXPECT_LE(num_values(after), num_values(before));
    EXPECT_GT(num_values(after), 2);
    EXPECT_TRUE(at::equal(after.eq(0), before.eq(0)));
    EXPECT_TRUE(at::equal(tied(after, lesson.training.shared.at(id)), after));
    EXPECT_GT((after - before).abs().max().item<double>(), 1e-3);
    EXPECT_LT(report.epochs.back().train, report.epochs.front().train);
  }
}

}  // namespace
}  // namespace niwaki
