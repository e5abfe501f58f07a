#pragma once

#include "compress/error.h"
#include "compress/ops/op_table.h"

#include <gtest/gtest.h>

namespace niwaki {

using Attributes = std::map<std::string, Attribute>;

/// Runs one operator of the default domain; an undefined tensor is an input left out.
inline RunValues run_op(const std::string& op, int64_t opset, const std::vector<Tensor>& inputs,
                        const Attributes& attributes = {}, size_t num_outputs = 1) {
  Node node;
  node.op = op;
  node.attributes = attributes;
  for (size_t i = 0; i < num_outputs; ++i) node.outputs.push_back(static_cast<ValueId>(i + 1));
  const RunValues values(inputs.begin(), inputs.end());
  return find_op("", op)(OpCall{node, opset, values, {}});
}

/// The first output.
inline Tensor run_tensor(const std::string& op, int64_t opset, const std::vector<Tensor>& inputs,
                         const Attributes& attributes = {}) {
  return run_op(op, opset, inputs, attributes)[0].tensor;
}

/// The code and message of the error that the operator throws, "" if none.
inline std::string refusal(const std::string& op, int64_t opset, const std::vector<Tensor>& inputs,
                           const Attributes& attributes = {}) {
  try {
    run_op(op, opset, inputs, attributes);
    return "";
  } catch (const Error& error) {
    return error.code() + ": " + error.message();
  }
}

/// Numbers in [-2, 2] of type double that depend on the sizes and the seed only, none near 0, 0.5 or 1.
inline Tensor smooth_numbers(std::vector<int64_t> sizes, int seed = 0) {
  const int64_t count = c10::multiply_integers(sizes);
  Tensor x = at::arange(count, at::kDouble) * 0.7548776662466927 + 0.31 * (seed + 1);
  x = (x - at::floor(x)) * 4 - 2;            // a golden sequence: spread, never equal
  const Tensor near = at::abs(x * 2 - at::round(x * 2)) < 0.05;
  return at::where(near, x + 0.07, x).reshape(sizes);
}

/// The greatest difference between autograd and central differences, over all floating inputs, of
/// sum(weights * output 0); weights are fixed numbers.
inline double gradient_error(const std::string& op, int64_t opset, std::vector<Tensor> inputs,
                             const Attributes& attributes = {}) {
  const auto loss = [&] {
    const Tensor y = run_tensor(op, opset, inputs, attributes);
    return (y * smooth_numbers(y.sizes().vec(), 7)).sum();
  };
  double worst = 0;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (!inputs[i].defined() || !inputs[i].is_floating_point()) continue;
    const Tensor base = inputs[i].clone();
    inputs[i] = base.clone().set_requires_grad(true);
    const Tensor value = loss();             // which may not depend on this input
    if (value.requires_grad()) value.backward();
    const Tensor found = inputs[i].grad();
    const Tensor gradient = (found.defined() ? found : at::zeros_like(base)).flatten();
    constexpr double kStep = 1e-6;
    for (int64_t j = 0; j < base.numel(); ++j) {
      const Tensor step = at::zeros({base.numel()}, at::kDouble);
      step[j] = kStep;
      inputs[i] = base + step.reshape(base.sizes());
      const double up = loss().item<double>();
      inputs[i] = base - step.reshape(base.sizes());
      const double numeric = (up - loss().item<double>()) / (2 * kStep);
      worst = std::max(worst, std::abs(numeric - gradient[j].item<double>()));
    }
    inputs[i] = base;
  }
  return worst;
}

inline void expect_equal(const Tensor& found, const Tensor& wanted) {
  ASSERT_EQ(found.scalar_type(), wanted.scalar_type());
  ASSERT_EQ(found.sizes(), wanted.sizes());
  EXPECT_TRUE(at::equal(found, wanted)) << found << "\nnot\n" << wanted;
}

}  // namespace niwaki
