#pragma once

#include "compress/pass.h"
#include "compress/target.h"
#include "passes/quantize/affine.h"
#include "passes/quantize/assign_precision.h"
#include "passes/quantize/range_estimator.h"

namespace niwaki {

constexpr auto names(Placement) { return std::array{"auto", "all"}; }

struct QuantizeStaticOptions {
  int bits = 8;
  Granularity granularity = Granularity::per_channel;
  RangeEstimator range_estimator = RangeEstimator::mse;
  double percentile = 99.99;
  bool symmetric = false;
  bool correct_bias = true;
  Placement placement = Placement::automatic;
  Target target = Target::onnxruntime_cpu;
  void validate() const;
  Needs needs() const { return {.calibration = true}; }
  static constexpr auto fields() {
    using O = QuantizeStaticOptions;
    return std::tuple{
        field("bits", &O::bits, "width of stored weights; kernels compute with 8").between(4, 8),
        field("granularity", &O::granularity, "weights that share one scale: per_tensor or per_channel"),
        field("range_estimator", &O::range_estimator, "how the range of an activation is chosen"),
        field("percentile", &O::percentile, "share of numbers inside the range, of percentile").between(50, 100),
        field("symmetric", &O::symmetric, "activations on a grid that is symmetric around 0"),
        field("correct_bias", &O::correct_bias, "takes the mean error of rounded weights into the bias"),
        field("placement", &O::placement, "integer kernels where they pay (auto) or wherever they can be (all)"),
        field("target", &O::target, "runtime that the model is for")};
  }
};

/// Gives nodes integer kernels: uint8 activations with ranges from calibration, int8 weights, int32 biases, in Q/DQ form.
///   before   y = Relu(Conv(x, w, b))
///   after    y = DQ(Q(Relu(Conv(DQ(Q(x)), DQ(w_q), DQ(b_q)))))
/// Nodes that an integer kernel would not make faster, by the target's cost table, stay float with that reason.
/// Raises the opset to 13 where it is older: scales along an axis need it.
void quantize_static(Graph& graph, const QuantizeStaticOptions& options, PassContext& context);

}  // namespace niwaki
