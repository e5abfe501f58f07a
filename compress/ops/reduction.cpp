#include "compress/error.h"
#include "compress/ops/numeric.h"

namespace niwaki {
namespace {

using Axes = std::vector<int64_t>;

struct Reduction {
  Tensor x;
  Axes axes;                                 // never empty unless x has rank 0
  bool keep = true;
  bool is_noop = false;                      // no axes, and the operator asked for nothing then
};

Reduction read_reduction(const OpCall& call) {
  Reduction r{widened(call.tensor(0)), {}, call.attribute("keepdims", 1) != 0, false};
  r.axes = normal_axes(call, 1, r.x.dim());
  if (r.x.dim() == 0) r.axes.clear();
  if (!r.axes.empty()) return r;
  r.is_noop = call.attribute("noop_with_empty_axes", 0) != 0;
  for (int64_t i = 0; i < r.x.dim(); ++i) r.axes.push_back(i);
  return r;
}

RunValues finish(const OpCall& call, const Tensor& y) {
  return {RunValue(y.to(call.tensor(0).scalar_type()))};
}

Tensor sum(const Reduction& r, const Tensor& x) {
  if (r.is_noop) return x;
  return at::sum(x, r.axes, r.keep, x.scalar_type());
}

// Logarithms and roots of integers run in double.
Tensor fractional(const Tensor& x) { return x.is_floating_point() ? x : x.to(at::kDouble); }

RunValues reduce_l1(const OpCall& call) {
  const Reduction r = read_reduction(call);
  return finish(call, sum(r, at::abs(r.x)));
}

RunValues reduce_l2(const OpCall& call) {
  const Reduction r = read_reduction(call);
  if (r.is_noop) return finish(call, at::abs(r.x));
  return finish(call, at::linalg_vector_norm(fractional(r.x), 2, r.axes, r.keep));
}

RunValues reduce_log_sum(const OpCall& call) {
  const Reduction r = read_reduction(call);
  return finish(call, at::log(sum(r, fractional(r.x))));
}

RunValues reduce_log_sum_exp(const OpCall& call) {
  const Reduction r = read_reduction(call);
  if (r.is_noop) return finish(call, r.x);
  if (r.x.dim() == 0) return finish(call, r.x);
  return finish(call, at::logsumexp(fractional(r.x), r.axes, r.keep));
}

RunValues reduce_mean(const OpCall& call) {
  const Reduction r = read_reduction(call);
  if (r.is_noop) return finish(call, r.x);
  return finish(call, at::mean(fractional(r.x), r.axes, r.keep));
}

// ATen refuses an empty axis here; ONNX has the least value of the type.
Tensor of_nothing(const Reduction& r, bool is_max, at::ScalarType type) {
  const Tensor shape = at::sum(at::zeros_like(r.x, at::kDouble), r.axes, r.keep);
  if (at::isFloatingType(type)) {
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    return at::full_like(shape, is_max ? -kInfinity : kInfinity);
  }
  if (type == at::kBool) return at::full_like(shape, is_max ? 0 : 1);
  const bool is_signed = at::isSignedType(type);
  const int bits = static_cast<int>(8 * at::elementSize(type));
  const int64_t most = std::numeric_limits<int64_t>::max() >> (64 - bits);
  if (is_signed) return at::full_like(shape, is_max ? -most - 1 : most, at::kLong);
  const int64_t unsigned_most = bits == 64 ? -1 : 2 * most + 1;
  return at::full_like(shape, is_max ? 0 : unsigned_most, at::kLong);
}

RunValues reduce_extreme(const OpCall& call, bool is_max) {
  const Reduction r = read_reduction(call);
  if (r.is_noop || r.x.dim() == 0) return finish(call, r.x);
  const at::ScalarType type = call.tensor(0).scalar_type();
  for (const int64_t axis : r.axes) {
    if (r.x.size(axis) == 0) return finish(call, of_nothing(r, is_max, type));
  }
  // the order of uint64 in int64 is right once the sign bit is flipped
  const bool is_flipped = type == at::kUInt64;
  constexpr int64_t kSign = std::numeric_limits<int64_t>::min();
  const Tensor x = is_flipped ? at::bitwise_xor(r.x, kSign) : r.x;
  const Tensor y = is_max ? at::amax(x, r.axes, r.keep) : at::amin(x, r.axes, r.keep);
  return finish(call, is_flipped ? at::bitwise_xor(y, kSign) : y);
}

RunValues reduce_max(const OpCall& call) { return reduce_extreme(call, true); }
RunValues reduce_min(const OpCall& call) { return reduce_extreme(call, false); }

RunValues reduce_prod(const OpCall& call) {
  const Reduction r = read_reduction(call);
  if (r.is_noop) return finish(call, r.x);
  Axes axes = r.axes;
  std::sort(axes.rbegin(), axes.rend());     // from the last, so that the others stay in place
  Tensor y = r.x;
  for (const int64_t axis : axes) y = at::prod(y, axis, r.keep, y.scalar_type());
  return finish(call, y);
}

RunValues reduce_sum(const OpCall& call) {
  const Reduction r = read_reduction(call);
  return finish(call, sum(r, r.x));
}

RunValues reduce_sum_square(const OpCall& call) {
  const Reduction r = read_reduction(call);
  return finish(call, sum(r, r.x * r.x));
}

RunValues arg_extreme(const OpCall& call, bool is_max) {
  Tensor x = widened(call.tensor(0)).detach();
  const int64_t axis = normal_axis(call, call.attribute("axis", 0), x.dim());
  const bool keep = call.attribute("keepdims", 1) != 0;
  const bool is_last = call.attribute("select_last_index", 0) != 0 && x.dim() > 0;
  if (is_last) x = x.flip({axis});
  const Tensor index = is_max ? at::argmax(x, axis, keep) : at::argmin(x, axis, keep);
  return {is_last ? x.size(axis) - 1 - index : index};
}

RunValues arg_max(const OpCall& call) { return arg_extreme(call, true); }
RunValues arg_min(const OpCall& call) { return arg_extreme(call, false); }

// Exclusive: the element itself is left out, so what came before moves up by one.
RunValues cumulative(const OpCall& call, bool is_sum) {
  const Tensor& given = call.tensor(0);
  Tensor x = widened(given);
  const std::vector<int64_t> axes = call.ints(1);
  if (axes.size() != 1) refuse(call, "axis must be one number");
  const int64_t axis = normal_axis(call, axes[0], x.dim());
  const bool is_reverse = call.attribute("reverse", 0) != 0;
  if (is_reverse) x = x.flip({axis});
  if (call.attribute("exclusive", 0) != 0 && x.size(axis) > 0) {
    const Tensor first = at::full_like(x.narrow(axis, 0, 1), is_sum ? 0 : 1);
    x = at::cat({first, x.narrow(axis, 0, x.size(axis) - 1)}, axis);
  }
  Tensor y = is_sum ? at::cumsum(x, axis, x.scalar_type()) : at::cumprod(x, axis, x.scalar_type());
  if (is_reverse) y = y.flip({axis});
  return finish(call, y);
}

RunValues cum_prod(const OpCall& call) { return cumulative(call, false); }
RunValues cum_sum(const OpCall& call) { return cumulative(call, true); }

constexpr OpEntry kEntries[] = {
    {"", "ArgMax", arg_max},
    {"", "ArgMin", arg_min},
    {"", "CumProd", cum_prod},
    {"", "CumSum", cum_sum},
    {"", "ReduceL1", reduce_l1},
    {"", "ReduceL2", reduce_l2},
    {"", "ReduceLogSum", reduce_log_sum},
    {"", "ReduceLogSumExp", reduce_log_sum_exp},
    {"", "ReduceMax", reduce_max},
    {"", "ReduceMean", reduce_mean},
    {"", "ReduceMin", reduce_min},
    {"", "ReduceProd", reduce_prod},
    {"", "ReduceSum", reduce_sum},
    {"", "ReduceSumSquare", reduce_sum_square},
};

}  // namespace

std::span<const OpEntry> reduction_ops() { return kEntries; }

}  // namespace niwaki
