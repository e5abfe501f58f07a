#include "tests/compress/ops/run_op.h"

namespace niwaki {
namespace {

constexpr double kGradient = 1e-6;           // central differences in double, step 1e-6

TEST(Activation, GradientsAreThoseOfFiniteDifferences) {
  const Tensor x = smooth_numbers({2, 3, 4});
  for (const char* op : {"Celu", "Elu", "HardSigmoid", "LeakyRelu", "LogSoftmax", "Relu", "Selu", "Sigmoid",
                         "Softmax", "Softplus", "Softsign", "Tanh", "ThresholdedRelu", "Gelu", "HardSwish", "Mish",
                         "Shrink", "Swish"}) {
    EXPECT_LT(gradient_error(op, 24, {x}), kGradient) << op;
  }
  EXPECT_LT(gradient_error("Gelu", 20, {x}, {{"approximate", "tanh"}}), kGradient);
  EXPECT_LT(gradient_error("PRelu", 16, {x, smooth_numbers({4}, 1)}), kGradient);
  EXPECT_LT(gradient_error("Clip", 13, {x, at::scalar_tensor(-1.03, at::kDouble), at::scalar_tensor(1.02, at::kDouble)}),
            kGradient);
  EXPECT_LT(gradient_error("Softmax", 11, {x}, {{"axis", int64_t{1}}}), kGradient);
}

TEST(Activation, SoftmaxJoinsAxesBeforeOpset13) {
  const Tensor x = at::zeros({2, 3, 4});
  EXPECT_NEAR(run_tensor("Softmax", 11, {x})[0][0][0].item<double>(), 1.0 / 12, 1e-7);
  EXPECT_NEAR(run_tensor("Softmax", 13, {x})[0][0][0].item<double>(), 1.0 / 4, 1e-7);
}

TEST(Activation, ClipLimitsMovedToInputs) {
  const Tensor x = at::tensor({-3.0, 0.5, 3.0});
  expect_equal(run_tensor("Clip", 6, {x}, {{"min", -1.0f}, {"max", 1.0f}}), at::tensor({-1.0, 0.5, 1.0}));
  expect_equal(run_tensor("Clip", 11, {x, Tensor(), at::scalar_tensor(1.0, at::kDouble)}), at::tensor({-3.0, 0.5, 1.0}));
  const Tensor wide = at::tensor({1, 300, 900}).to(at::kUInt16);
  const Tensor limit = at::scalar_tensor(400, at::kLong).to(at::kUInt16);
  expect_equal(run_tensor("Clip", 12, {wide, Tensor(), limit}).to(at::kLong), at::tensor({1, 300, 400}, at::kLong));
}

TEST(Activation, HardmaxTakesTheFirstOfEquals) {
  const Tensor x = at::tensor({1.0, 3.0, 3.0});
  expect_equal(run_tensor("Hardmax", 13, {x}), at::tensor({0.0, 1.0, 0.0}));
}

TEST(Activation, EmptyAndRankZeroTensorsWork) {
  for (const char* op : {"Relu", "Softmax", "Hardmax", "Sigmoid", "Gelu"}) {
    EXPECT_EQ(run_tensor(op, 20, {at::zeros({0, 3})}).sizes(), (std::vector<int64_t>{0, 3})) << op;
    EXPECT_EQ(run_tensor(op, 20, {at::ones({})}).dim(), 0) << op;
  }
}

TEST(Activation, RefusesWhatMakesNoSense) {
  EXPECT_EQ(refusal("Gelu", 20, {at::ones({2})}, {{"approximate", "cubic"}}), "E1108: Gelu: unknown approximate 'cubic'");
  EXPECT_EQ(refusal("Softmax", 13, {at::ones({2})}, {{"axis", int64_t{2}}}).substr(0, 5), "E1108");
}

}  // namespace
}  // namespace niwaki
