#include "passes/train/quantized_twin.h"

#include "compress/ops/fake_quantize.h"
#include "tests/passes/train/train_fixture.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

struct Case {
  const char* pass;
  Json options;
  size_t weights, values;
};

/// x [n, 6] -> 70 -> 70 -> 3, with zeros in a weight; wide enough for blocks that end in the middle.
Graph net() {
  GraphBuilder b;
  const Tensor sparse = random_tensor({70, 70}, 5) * 0.2;
  ValueId h = b.node("Relu", {b.node("Gemm", {b.input("x", {"n", int64_t{6}}), b.constant("w1", random_tensor({6, 70}, 4) * 0.4), b.constant("b1", random_tensor({70}, 8) * 0.1)}, {}, "first")});
  h = b.node("Relu", {b.node("Gemm", {h, b.constant("w2", at::where(sparse.abs() > 0.1, sparse, at::zeros({}))), b.constant("b2", random_tensor({70}, 9) * 0.1)}, {{"transB", int64_t{1}}}, "second")});
  b.output(b.node("MatMul", {h, b.constant("w3", random_tensor({70, 3}, 6) * 0.3)}, {}, "third"), "y");
  return b.graph();
}

class Twins : public testing::TestWithParam<Case> {};

// T39: the training forward has the codes that are written
TEST_P(Twins, ComputeWhatIsEmitted) {
  const Graph floats = net();
  const Dataset data = samples_for(floats, floats, 128, false);
  const Graph emitted = apply_pass(GetParam().pass, floats, GetParam().options, &data).after;
  QuantizedTwin twin(emitted, floats, GetParam().options.value("bits", 8), 127);
  EXPECT_EQ(twin.num_weights(), GetParam().weights);
  EXPECT_EQ(twin.num_values(), GetParam().values);
  const Tensor x = random_tensor({64, 6}, 11);
  EXPECT_LT(relative_difference(run_graph(twin.graph(), {x})[0], run_graph(emitted, {x})[0]), 1e-5);
  // as training would: numbers and scales move, zeros stay
  Graph& trained = twin.graph();
  for (uint32_t i = 1; i < trained.num_values(); ++i) {
    const auto id = static_cast<ValueId>(i);
    const Constant* constant = trained.constant(id);
    const std::string name = trained.value(id).name;
    if (!constant || constant->dtype != DType::float32) continue;
    const Tensor noise = random_tensor(constant->sizes, i);
    if (name.ends_with(".log")) trained.set_constant(id, make_constant(noise * 0.05));
    if (name.ends_with(".float")) trained.set_constant(id, make_constant(values(*constant) * (1 + noise * 0.1)));
  }
  Graph written = emitted;
  twin.write(written);
  const Tensor wanted = run_graph(trained, {x})[0];
  EXPECT_LT(relative_difference(run_graph(written, {x})[0], wanted), 1e-5);
  EXPECT_GT(relative_difference(run_graph(emitted, {x})[0], wanted), 1e-3);
}

INSTANTIATE_TEST_SUITE_P(Modes, Twins,
                         testing::Values(Case{"quantize_static", {{"placement", "all"}}, 3, 3}, Case{"quantize_static", {{"placement", "all"}, {"bits", 4}}, 3, 3},
                                         Case{"quantize_static", {{"placement", "all"}, {"granularity", "per_tensor"}}, 3, 3},
                                         Case{"quantize_weights", {{"bits", 4}, {"block_size", 16}}, 3, 0},
                                         Case{"quantize_weights", {{"bits", 4}, {"block_size", 16}, {"target", "generic"}}, 3, 0},
                                         Case{"store_weights", {{"bits", 4}}, 3, 0}, Case{"store_weights", {{"bits", 8}}, 3, 0}));

}  // namespace
}  // namespace niwaki
