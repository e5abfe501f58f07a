#include "compress/linear_algebra.h"

#include "compress/parallel.h"
#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

Tensor gram_of(const Tensor& x) { return x.mm(x.t()); }
Tensor normal(int64_t rows, int64_t columns, uint64_t seed) { return random_tensor({rows, columns}, seed).to(at::kDouble); }
double largest(const Tensor& x) { return x.abs().max().item<double>(); }

TEST(LinearAlgebra, CholeskyInBlocksIsTheFactor) {
  for (const int64_t size : {1, 7, 256, 257, 700}) {
    const Tensor gram = gram_of(normal(size, size + 5, 1)) + at::eye(size, at::kDouble);
    const Tensor lower = blocked_cholesky(gram);
    ASSERT_TRUE(lower.defined());
    EXPECT_LT(largest(lower.mm(lower.t()) - gram) / largest(gram), 1e-13) << size;
    EXPECT_EQ(largest(lower.triu(1)), 0);
  }
  EXPECT_FALSE(blocked_cholesky(-at::eye(3, at::kDouble)).defined());
}

TEST(LinearAlgebra, UpperFactorIsCholeskyOfTheInverse) {    // T5
  const Tensor gram = gram_of(normal(300, 400, 2));
  const DampedGram damped = factor_damped(gram, 0.01);
  const Tensor upper = inverse_upper(damped.upper);
  const Tensor inverse = at::linalg_inv(damped.gram);
  const Tensor want = at::linalg_cholesky(inverse).t();
  EXPECT_LT(largest(upper - want) / largest(want), 1e-12);
  EXPECT_LT(largest(damped.upper.mm(damped.upper.t()) - damped.gram) / largest(gram), 1e-13);
  // negative control: the other triangle is another matrix
  EXPECT_GT(largest(upper.t().mm(upper) - upper.mm(upper.t())) / largest(inverse), 1e-3);
}

TEST(LinearAlgebra, DampingTakesTheMeanOfLiveColumns) {     // T23
  Tensor x = normal(6, 50, 3);
  x[1].zero_();
  x[4].zero_();
  const Tensor gram = gram_of(x);
  const DampedGram damped = factor_damped(gram, 0.01);
  EXPECT_TRUE(at::equal(damped.live, at::tensor({0, 2, 3, 5}, at::kLong)));
  EXPECT_EQ(damped.record.attempts, 1);
  EXPECT_NEAR(damped.record.lambda, 0.01 * gram.diagonal().sum().item<double>() / 4, 1e-12);
  EXPECT_GE(damped.record.condition, 1);
}

TEST(LinearAlgebra, LadderClimbsOnSingularAndIndefiniteMatrices) {
  const Tensor one = normal(5, 1, 4);
  const DampedGram singular = factor_damped(gram_of(one), 0.01);
  EXPECT_EQ(singular.record.attempts, 1);    // damping is enough
  Tensor indefinite = at::eye(4, at::kDouble);
  indefinite[0][1] = indefinite[1][0] = 1.05;                        // eigenvalue -0.05
  const DampedGram raised = factor_damped(indefinite, 0.01);
  EXPECT_EQ(raised.record.attempts, 2);
  EXPECT_NEAR(raised.record.lambda, 0.1, 1e-12);
  EXPECT_FALSE(raised.record.is_clamped);
  indefinite[0][1] = indefinite[1][0] = 5;
  const DampedGram clamped = factor_damped(indefinite, 0.01);
  EXPECT_TRUE(clamped.record.is_clamped);
  EXPECT_LT(largest(clamped.upper.mm(clamped.upper.t()) - clamped.gram), 1e-9);
  EXPECT_EQ(largest(clamped.upper.tril(-1)), 0);
  EXPECT_TRUE(at::isfinite(inverse_upper(clamped.upper)).all().item<bool>());
}

TEST(LinearAlgebra, EmptyAndZeroMatricesAreNoError) {
  EXPECT_EQ(factor_damped(at::zeros({4, 4})).record.num_live, 0);
  EXPECT_EQ(factor_damped(at::zeros({0, 0})).record.num_live, 0);
  EXPECT_EQ(largest(solve_damped(at::zeros({2, 2}), at::ones({2, 3}))), 0);
  const DampedGram single = factor_damped(at::full({1, 1}, 4.0), 0);
  EXPECT_DOUBLE_EQ(single.upper.item<double>(), 2);
}

TEST(LinearAlgebra, SolvesAndLeavesDeadRowsZero) {
  Tensor x = normal(8, 40, 5);
  x[3].zero_();
  const Tensor gram = gram_of(x), right = normal(8, 3, 6);
  SolveRecord record;
  const Tensor found = solve_damped(gram, right, 0.01, &record);
  EXPECT_EQ(record.num_live, 7);
  EXPECT_EQ(largest(found[3]), 0);
  Tensor rest = (gram + at::eye(8, at::kDouble) * record.lambda).mm(found) - right;
  rest[3].zero_();
  EXPECT_LT(largest(rest), 1e-10);
}

TEST(LinearAlgebra, SameBytesOnAnyNumberOfThreads) {
  const Tensor gram = gram_of(normal(900, 1000, 7));
  std::vector<Tensor> found;
  for (const int threads : {1, 2}) {
    set_num_threads(threads);
    found.push_back(inverse_upper(factor_damped(gram).upper));
  }
  set_num_threads(0);
  EXPECT_TRUE(at::equal(found[0], found[1]));
}

}  // namespace
}  // namespace niwaki
