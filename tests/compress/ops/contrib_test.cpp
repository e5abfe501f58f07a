#include "tests/compress/ops/run_op.h"

#include <gmock/gmock.h>

namespace niwaki {
namespace {

RunValues run_contrib(const std::string& op, const RunValues& inputs, const Attributes& attributes = {}) {
  Node node;
  node.op = op;
  node.domain = "com.microsoft";
  node.attributes = attributes;
  node.outputs = {static_cast<ValueId>(1)};
  return find_op("com.microsoft", op)(OpCall{node, 1, inputs, {}});
}

TEST(Contrib, SkipLayerNormalizationIsASumAndANorm) {
  const Tensor x = at::randn({2, 3, 8}), skip = at::randn({2, 3, 8}), gamma = at::randn({8}), beta = at::randn({8});
  const RunValues found = run_contrib("SkipLayerNormalization", {x, skip, gamma, beta}, {{"epsilon", 1e-5F}});
  EXPECT_TRUE(at::allclose(found[0].tensor, at::layer_norm(x + skip, {8}, gamma, beta, 1e-5), 1e-4, 1e-5));
  EXPECT_TRUE(at::equal(found[3].tensor, x + skip));
}

TEST(Contrib, FusedMatMulTransposesAndScales) {
  const Tensor a = at::randn({2, 5, 3}), b = at::randn({2, 4, 5});
  const Tensor y = run_contrib("FusedMatMul", {a, b}, {{"transA", int64_t{1}}, {"transB", int64_t{1}}, {"alpha", 0.5F}})[0].tensor;
  EXPECT_TRUE(at::allclose(y, 0.5 * at::matmul(a.transpose(1, 2), b.transpose(1, 2)), 1e-5, 1e-6));
}

TEST(Contrib, FusedConvAddsAndActivates) {
  const Tensor x = at::randn({1, 2, 5, 5}), w = at::randn({3, 2, 3, 3}), z = at::randn({1, 3, 3, 3});
  const Tensor y = run_contrib("FusedConv", {x, w, RunValue(), z}, {{"activation", std::string("Relu")}})[0].tensor;
  EXPECT_TRUE(at::allclose(y, at::relu(at::conv2d(x, w) + z), 1e-4, 1e-5));
}

TEST(Contrib, RotaryEmbeddingKeepsLengths) {
  const Tensor angle = at::rand({16, 4});
  const Tensor x = at::randn({2, 3, 16}), places = at::zeros({1}, at::kLong);
  const Tensor y = run_contrib("RotaryEmbedding", {x, places, at::cos(angle), at::sin(angle)})[0].tensor;
  EXPECT_EQ(y.sizes(), x.sizes());
  EXPECT_TRUE(at::allclose(y.norm(), x.norm(), 1e-4));
  EXPECT_FALSE(at::allclose(y, x));
}

}  // namespace
}  // namespace niwaki
