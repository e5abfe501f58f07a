#include "tests/compress/ops/run_op.h"

#include <gmock/gmock.h>

namespace niwaki {
namespace {

std::vector<Tensor> layer(int64_t gates, int64_t directions) {   // 5 steps, batch 2, input 3, hidden 4
  return {smooth_numbers({5, 2, 3}), smooth_numbers({directions, gates * 4, 3}, 1) * 0.4, smooth_numbers({directions, gates * 4, 4}, 2) * 0.4,
          smooth_numbers({directions, gates * 8}, 3) * 0.4};
}

/// ATen's gate order i, f, g, o from ONNX's i, o, f, c.
Tensor reordered(const Tensor& w) {
  const auto parts = w.chunk(4, 0);
  return at::cat({parts[0], parts[2], parts[3], parts[1]});
}

TEST(Recurrent, LstmAgreesWithAten) {
  const std::vector<Tensor> inputs = layer(4, 1);
  const RunValues found = run_op("LSTM", 14, inputs, {{"hidden_size", int64_t{4}}}, 3);
  const Tensor zeros = at::zeros({1, 2, 4}, at::kDouble), bias = inputs[3][0];
  const auto [y, h, c] = at::lstm(inputs[0], {zeros, zeros},
                                  {reordered(inputs[1][0]), reordered(inputs[2][0]), reordered(bias.narrow(0, 0, 16)), reordered(bias.narrow(0, 16, 16))},
                                  true, 1, 0.0, false, false, false);
  EXPECT_TRUE(at::allclose(found[0].tensor.squeeze(1), y));
  EXPECT_TRUE(at::allclose(found[1].tensor, h));
  EXPECT_TRUE(at::allclose(found[2].tensor, c));
}

TEST(Recurrent, ShortSequencesEndInZeros) {
  std::vector<Tensor> inputs = layer(3, 2);
  inputs.push_back(at::tensor({5, 2}, at::kInt));
  const RunValues found = run_op("GRU", 14, inputs, {{"hidden_size", int64_t{4}}, {"direction", std::string("bidirectional")}}, 2);
  EXPECT_EQ(found[0].tensor.select(2, 1).narrow(0, 2, 3).abs().max().item<double>(), 0);
  // the last state of the forward direction is that of step 1, of the backward direction that of step 0
  EXPECT_TRUE(at::equal(found[1].tensor[0][1], found[0].tensor[1][0][1]));
  EXPECT_TRUE(at::equal(found[1].tensor[1][1], found[0].tensor[0][1][1]));
}

TEST(Recurrent, GradientsFlow) {
  EXPECT_LT(gradient_error("LSTM", 14, layer(4, 1), {{"hidden_size", int64_t{4}}}), 1e-6);
  EXPECT_LT(gradient_error("GRU", 14, layer(3, 1), {{"hidden_size", int64_t{4}}, {"linear_before_reset", int64_t{1}}}), 1e-6);
  EXPECT_LT(gradient_error("RNN", 14, layer(1, 1), {{"hidden_size", int64_t{4}}, {"direction", std::string("reverse")}}), 1e-6);
}

TEST(Recurrent, WrongSizesAreRefused) {
  std::vector<Tensor> inputs = layer(4, 1);
  inputs[1] = inputs[1].narrow(1, 0, 12);
  EXPECT_THAT(refusal("LSTM", 14, inputs), testing::HasSubstr("input 1 has sizes [1, 12, 3] instead of [1, 16, 3]"));
}

}  // namespace
}  // namespace niwaki
