#include "passes/factorize/tucker2.h"

#include "passes/factorize/low_rank.h"

#include <algorithm>

namespace niwaki {
namespace {

constexpr int kMostRounds = 20;
constexpr double kSettled = 1e-8;            // of |W|^2: a smaller gain ends the iteration

/// The first `rank` left singular vectors of a matrix; fewer where it has fewer.
Tensor leading(const Tensor& matrix, int64_t rank) {
  const Tensor directions = output_spectrum(matrix, {}).directions;
  return directions.narrow(1, 0, std::min(rank, directions.size(1)));
}

/// Mode 1 in front: [in, out * taps].
Tensor by_input(const Tensor& weight) { return weight.transpose(0, 1).reshape({weight.size(1), -1}); }
Tensor by_output(const Tensor& weight) { return weight.reshape({weight.size(0), -1}); }
Tensor onto_inputs(const Tensor& weight, const Tensor& inputs) { return at::einsum("oct,cr->ort", {weight, inputs}); }
Tensor onto_outputs(const Tensor& weight, const Tensor& outputs) { return at::einsum("oct,or->rct", {weight, outputs}); }

}  // namespace

Tucker2 tucker2(const Tensor& weight, int64_t input_rank, int64_t output_rank) {
  const Tensor w = weight.to(at::kDouble);
  const double energy = at::square(w).sum().item<double>();
  Tensor inputs = leading(by_input(w), input_rank), outputs;
  Tucker2 found;
  double held = -1;
  for (int round = 0; round < kMostRounds; ++round) {
    outputs = leading(by_output(onto_inputs(w, inputs)), output_rank);
    inputs = leading(by_input(onto_outputs(w, outputs)), input_rank);
    found.core = onto_inputs(onto_outputs(w, outputs), inputs);
    const double now = at::square(found.core).sum().item<double>();
    if (now - held < kSettled * energy) break;
    held = now;
  }
  found.first = inputs.t().contiguous();
  found.last = outputs;
  found.error = std::max(0.0, energy - at::square(found.core).sum().item<double>());
  return found;
}

}  // namespace niwaki
