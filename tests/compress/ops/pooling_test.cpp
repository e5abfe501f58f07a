#include "tests/compress/ops/run_op.h"

namespace niwaki {
namespace {

using Ints = std::vector<int64_t>;
constexpr double kGradient = 1e-6;

const Attributes kUneven{{"kernel_shape", Ints{3, 2}}, {"strides", Ints{2, 1}}, {"pads", Ints{1, 0, 0, 1}}};

TEST(Pooling, GradientsAreThoseOfFiniteDifferences) {
  const Tensor x = smooth_numbers({1, 2, 5, 6});
  for (const char* op : {"AveragePool", "MaxPool", "LpPool"}) EXPECT_LT(gradient_error(op, 22, {x}, kUneven), 1e-5) << op;
  EXPECT_LT(gradient_error("AveragePool", 22, {x}, {{"kernel_shape", Ints{2, 2}}}), kGradient);
  for (const char* op : {"GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"}) {
    EXPECT_LT(gradient_error(op, 22, {x}), kGradient) << op;
  }
}

TEST(Pooling, AveragesCountPaddingOnRequest) {
  const Tensor x = at::ones({1, 1, 4});
  Attributes attributes{{"kernel_shape", Ints{2}}, {"pads", Ints{1, 0}}};
  expect_equal(run_tensor("AveragePool", 19, {x}, attributes), at::ones({1, 1, 4}));
  attributes["count_include_pad"] = int64_t{1};
  expect_equal(run_tensor("AveragePool", 19, {x}, attributes), at::tensor({0.5f, 1.f, 1.f, 1.f}).reshape({1, 1, 4}));
}

TEST(Pooling, CeilNeverCountsWhatLiesBehindThePadding) {
  const Tensor x = at::ones({1, 1, 5});
  const Attributes attributes{{"kernel_shape", Ints{2}}, {"strides", Ints{2}}, {"ceil_mode", int64_t{1}},
                              {"count_include_pad", int64_t{1}}};
  expect_equal(run_tensor("AveragePool", 19, {x}, attributes), at::ones({1, 1, 3}));
}

TEST(Pooling, IndicesPointAtTheLargest) {
  const Tensor x = smooth_numbers({2, 3, 5, 6});
  const RunValues y = run_op("MaxPool", 12, {x}, kUneven, 2);
  expect_equal(x.flatten().index_select(0, y[1].tensor.flatten()), y[0].tensor.flatten());
  Attributes by_column = kUneven;
  by_column["storage_order"] = int64_t{1};
  const Tensor columns = run_op("MaxPool", 12, {x}, by_column, 2)[1].tensor;
  expect_equal(x.transpose(2, 3).flatten().index_select(0, columns.flatten()), y[0].tensor.flatten());
}

TEST(Pooling, UnpoolPutsBackWhatPoolTook) {
  const Tensor x = smooth_numbers({1, 2, 4, 6});
  const Attributes attributes{{"kernel_shape", Ints{2, 2}}, {"strides", Ints{2, 2}}};
  const RunValues y = run_op("MaxPool", 12, {x}, attributes, 2);
  const Tensor back = run_tensor("MaxUnpool", 11, {y[0].tensor, y[1].tensor}, attributes);
  ASSERT_EQ(back.sizes(), x.sizes());
  expect_equal(at::where(back != 0, x, at::zeros_like(x)), back);
  EXPECT_EQ(back.ne(0).sum().item<int64_t>(), y[0].tensor.numel());
}

TEST(Pooling, RefusesAKernelThatDoesNotFit) {
  EXPECT_EQ(refusal("MaxPool", 12, {at::ones({1, 1, 4, 4})}, {{"kernel_shape", Ints{2}}}),
            "E1108: MaxPool: kernel [2] for 2 spatial axes");
}

}  // namespace
}  // namespace niwaki
