#include "compress/train/optimizer.h"

#include <cmath>

namespace niwaki {
namespace {

constexpr double kBeta1 = 0.9, kBeta2 = 0.999, kEpsilon = 1e-8;

}  // namespace

Moments make_moments(const std::vector<Tensor>& weights, OptimizerKind optimizer) {
  Moments moments;
  for (const Tensor& w : weights) {
    moments.first.push_back(at::zeros_like(w, at::MemoryFormat::Contiguous));
    if (optimizer == OptimizerKind::adamw) moments.second.push_back(at::zeros_like(w, at::MemoryFormat::Contiguous));
    moments.updates.push_back(0);
  }
  return moments;
}

void update(const Tensor& weights, const Tensor& gradient, Moments& moments, size_t i, const StepOptions& options) {
  const Tensor& first = moments.first[i];
  const auto count = static_cast<double>(++moments.updates[i]);
  if (options.optimizer == OptimizerKind::sgd) {
    const Tensor slope = options.weight_decay != 0 ? at::add(gradient, weights, options.weight_decay) : gradient;
    first.mul_(options.momentum).add_(slope);
    weights.add_(first, -options.learning_rate);
    return;
  }
  const Tensor& second = moments.second[i];
  if (options.weight_decay != 0) weights.mul_(1 - options.learning_rate * options.weight_decay);
  first.lerp_(gradient, 1 - kBeta1);
  second.mul_(kBeta2).addcmul_(gradient, gradient, 1 - kBeta2);
  const double first_bias = 1 - std::pow(kBeta1, count), second_bias = 1 - std::pow(kBeta2, count);
  const Tensor denominator = at::sqrt(second).div_(std::sqrt(second_bias)).add_(kEpsilon);
  weights.addcdiv_(first, denominator, -options.learning_rate / first_bias);
}

}  // namespace niwaki
