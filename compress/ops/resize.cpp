#include "compress/error.h"
#include "compress/ops/numeric.h"

namespace niwaki {
namespace {

using Sizes = std::vector<int64_t>;

/// One axis that changes: where each output element lies in the input.
struct AxisPlan {
  int64_t axis = 0, size = 0, outputs = 0;
  double scale = 1;
  double begin = 0, end = 1;                 // of the region of interest
};

struct Rules {
  std::string mode, coordinates, nearest;
  double cubic = -0.75, extrapolation = 0;
  bool exclude_outside = false, antialias = false;
};

Rules read_rules(const OpCall& call) {
  Rules rules;
  rules.mode = string_attribute(call.node, "mode", "nearest");
  const char* coordinates = call.opset < 11 ? "asymmetric" : "half_pixel";
  rules.coordinates = string_attribute(call.node, "coordinate_transformation_mode", coordinates);
  const char* nearest = call.opset < 11 ? "simple" : "round_prefer_floor";
  rules.nearest = string_attribute(call.node, "nearest_mode", nearest);
  rules.cubic = number_or(call, "cubic_coeff_a", -0.75);
  rules.extrapolation = number_or(call, "extrapolation_value", 0);
  rules.exclude_outside = call.attribute("exclude_outside", 0) != 0;
  rules.antialias = call.attribute("antialias", 0) != 0;
  if (rules.mode == "bilinear") rules.mode = "linear";                   // Upsample 1 to 8
  if (rules.mode != "nearest" && rules.mode != "linear" && rules.mode != "cubic") {
    refuse(call, cat("unknown mode '", printable(rules.mode), "'"));
  }
  return rules;
}

// The place of output element `i` in the input, in elements.
double source_of(const OpCall& call, const Rules& rules, const AxisPlan& plan, int64_t i) {
  const double outputs = plan.scale * static_cast<double>(plan.size);    // before rounding
  const double last = static_cast<double>(plan.size - 1), x = static_cast<double>(i);
  const std::string& mode = rules.coordinates;
  if (mode == "asymmetric") return x / plan.scale;
  if (mode == "half_pixel") return (x + 0.5) / plan.scale - 0.5;
  if (mode == "pytorch_half_pixel") return plan.outputs > 1 ? (x + 0.5) / plan.scale - 0.5 : 0;
  if (mode == "align_corners") return plan.outputs > 1 ? x * last / (outputs - 1) : 0;
  if (mode == "tf_half_pixel_for_nn") return (x + 0.5) / plan.scale;
  if (mode == "half_pixel_symmetric") {
    const double shift = static_cast<double>(plan.size) / 2 *
                         (1 - static_cast<double>(plan.outputs) / outputs);
    return shift + (x + 0.5) / plan.scale - 0.5;
  }
  if (mode == "tf_crop_and_resize") {
    if (plan.outputs == 1) return (plan.begin + plan.end) * last / 2;
    const double step = (plan.end - plan.begin) * last / static_cast<double>(plan.outputs - 1);
    return plan.begin * last + x * step;
  }
  refuse(call, cat("unknown coordinate_transformation_mode '", printable(mode), "'"));
}

int64_t nearest_of(const OpCall& call, const Rules& rules, const AxisPlan& plan, double x) {
  const std::string& mode = rules.nearest;
  double place = 0;
  if (mode == "round_prefer_floor") place = std::ceil(x - 0.5);
  else if (mode == "round_prefer_ceil") place = std::floor(x + 0.5);
  else if (mode == "floor") place = std::floor(x);
  else if (mode == "ceil") place = std::ceil(x);
  else if (mode == "simple") place = plan.scale < 1 ? std::ceil(x) : std::floor(x);
  else refuse(call, cat("unknown nearest_mode '", printable(mode), "'"));
  return std::clamp<int64_t>(static_cast<int64_t>(place), 0, plan.size - 1);
}

double linear_weight(double distance) { return std::max(0.0, 1 - std::abs(distance)); }

// Keys' cubic convolution: https://doi.org/10.1109/TASSP.1981.1163711, equation 15.
double cubic_weight(double distance, double a) {
  const double x = std::abs(distance);
  if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

// Weights of the input elements in the output element whose source is x; edges repeat.
void add_weights(const Rules& rules, const AxisPlan& plan, double x, double* row) {
  const double scale = rules.antialias ? std::min(plan.scale, 1.0) : 1.0;
  const bool is_cubic = rules.mode == "cubic";
  const double reach = (is_cubic ? 2 : 1) / scale;
  double total = 0;
  const auto first = static_cast<int64_t>(std::floor(x - reach));
  const auto last = static_cast<int64_t>(std::ceil(x + reach));
  for (int64_t i = first; i <= last; ++i) {
    const double distance = (static_cast<double>(i) - x) * scale;
    const bool is_outside = i < 0 || i >= plan.size;
    if (is_outside && rules.exclude_outside) continue;
    const double weight = is_cubic ? cubic_weight(distance, rules.cubic) : linear_weight(distance);
    row[std::clamp<int64_t>(i, 0, plan.size - 1)] += weight;
    total += weight;
  }
  if (total == 0 || (!rules.exclude_outside && !rules.antialias)) return;
  for (int64_t i = 0; i < plan.size; ++i) row[i] /= total;
}

// Output elements of the axis that lie outside the input, [outputs]; or undefined.
Tensor outside(const OpCall& call, const Rules& rules, const AxisPlan& plan) {
  if (rules.coordinates != "tf_crop_and_resize") return {};
  Tensor mask = at::zeros({plan.outputs}, at::kBool);
  for (int64_t i = 0; i < plan.outputs; ++i) {
    const double x = source_of(call, rules, plan, i);
    mask.mutable_data_ptr<bool>()[i] = x < 0 || x > static_cast<double>(plan.size - 1);
  }
  return mask;
}

Tensor resized_nearest(const OpCall& call, const Rules& rules, const AxisPlan& plan,
                       const Tensor& x) {
  Tensor indices = at::empty({plan.outputs}, at::kLong);
  for (int64_t i = 0; i < plan.outputs; ++i) {
    const double source = source_of(call, rules, plan, i);
    indices.mutable_data_ptr<int64_t>()[i] = nearest_of(call, rules, plan, source);
  }
  return at::index_select(x, plan.axis, indices.to(x.device()));
}

// Along one axis, interpolation is a product with a matrix [outputs, size].
Tensor resized_smooth(const OpCall& call, const Rules& rules, const AxisPlan& plan,
                      const Tensor& x) {
  Tensor weights = at::zeros({plan.outputs, plan.size}, at::kDouble);
  double* rows = weights.mutable_data_ptr<double>();
  for (int64_t i = 0; i < plan.outputs; ++i) {
    add_weights(rules, plan, source_of(call, rules, plan, i), rows + i * plan.size);
  }
  weights = weights.to(x.options());
  if (plan.axis == x.dim() - 1) return at::linear(x, weights);
  if (plan.axis == x.dim() - 2) return at::matmul(weights, x);
  return at::linear(x.movedim(plan.axis, -1), weights).movedim(-1, plan.axis);
}

// nearest works on any type and exactly; the others on floats, and integers are cut off after.
Tensor resized(const OpCall& call, const std::vector<AxisPlan>& plans) {
  const Rules rules = read_rules(call);
  const Tensor& given = call.tensor(0);
  const bool is_nearest = rules.mode == "nearest";
  Tensor x = is_nearest ? given : at_least_float32(widened(given));
  if (!is_nearest && !x.is_floating_point()) x = x.to(at::kFloat);
  Sizes outputs = given.sizes().vec();
  for (const AxisPlan& plan : plans) outputs[plan.axis] = plan.outputs;
  check_sizes(call, outputs);
  for (const AxisPlan& plan : plans) {
    if (plan.size == 0 && plan.outputs > 0) refuse(call, cat("axis ", plan.axis, " is empty"));
    x = is_nearest ? resized_nearest(call, rules, plan, x) : resized_smooth(call, rules, plan, x);
  }
  for (const AxisPlan& plan : plans) {
    const Tensor mask = outside(call, rules, plan);
    if (!mask.defined()) continue;
    Sizes sizes(x.dim(), 1);
    sizes[plan.axis] = plan.outputs;
    x = x.masked_fill(mask.reshape(sizes).to(x.device()), rules.extrapolation);
  }
  return x.to(given.scalar_type());
}

std::vector<double> numbers(const Tensor& x) {
  const Tensor flat = x.detach().to(at::kCPU, at::kDouble).reshape({-1}).contiguous();
  return {flat.const_data_ptr<double>(), flat.const_data_ptr<double>() + flat.numel()};
}

// As the runtimes: the product is rounded to float32 first, so that 0.7 of 10 is 7.
int64_t scaled_size(int64_t size, double scale) {
  return static_cast<int64_t>(std::floor(static_cast<float>(scale) * static_cast<float>(size)));
}

AxisPlan scaled_axis(const OpCall& call, int64_t axis, double scale) {
  if (!(scale > 0)) refuse(call, cat("scale ", scale, " of axis ", axis, " is not positive"));
  const int64_t size = call.tensor(0).size(axis);
  return {axis, size, scaled_size(size, scale), scale};
}

// keep_aspect_ratio_policy: one scale for all axes, the least or the greatest.
void keep_aspect(const OpCall& call, std::vector<AxisPlan>& plans) {
  const std::string policy = string_attribute(call.node, "keep_aspect_ratio_policy", "stretch");
  if (policy == "stretch" || plans.empty()) return;
  const bool is_least = policy == "not_larger";
  if (!is_least && policy != "not_smaller") {
    refuse(call, cat("unknown keep_aspect_ratio_policy '", printable(policy), "'"));
  }
  double scale = plans[0].scale;
  for (const AxisPlan& plan : plans) {
    scale = is_least ? std::min(scale, plan.scale) : std::max(scale, plan.scale);
  }
  for (AxisPlan& plan : plans) {
    plan.scale = scale;
    plan.outputs = static_cast<int64_t>(std::round(scale * static_cast<double>(plan.size)));
  }
}

std::vector<AxisPlan> plans_by_size(const OpCall& call, const Sizes& axes, const Sizes& sizes) {
  std::vector<AxisPlan> plans;
  for (size_t i = 0; i < axes.size(); ++i) {
    const int64_t size = call.tensor(0).size(axes[i]);
    if (sizes[i] < 0) refuse(call, cat("size ", sizes[i], " of axis ", axes[i]));
    const auto divisor = static_cast<double>(std::max<int64_t>(size, 1));
    plans.push_back({axes[i], size, sizes[i], static_cast<double>(sizes[i]) / divisor});
  }
  keep_aspect(call, plans);
  return plans;
}

void check_count(const OpCall& call, const char* what, size_t count, size_t wanted) {
  if (count != wanted) refuse(call, cat(what, " has ", count, " numbers, not ", wanted));
}

// Whole axes that keep their size and their place need no work.
void drop_unchanged(const OpCall& call, std::vector<AxisPlan>& plans) {
  const std::string mode = string_attribute(call.node, "coordinate_transformation_mode", "");
  if (mode == "tf_crop_and_resize" || mode == "tf_half_pixel_for_nn") return;
  std::erase_if(plans, [](const AxisPlan& p) { return p.size == p.outputs && p.scale == 1; });
}

RunValues resize(const OpCall& call) {
  const Tensor& x = call.tensor(0);
  Sizes axes = normal_axes(call, call.inputs.size(), x.dim());           // an attribute only
  if (axes.empty()) {
    axes.resize(x.dim());
    std::iota(axes.begin(), axes.end(), 0);
  }
  const size_t scales_at = call.opset < 11 ? 1 : 2;
  std::vector<AxisPlan> plans;
  if (call.has(3) && call.tensor(3).numel() > 0) {
    const Sizes sizes = call.ints(3);
    check_count(call, "sizes", sizes.size(), axes.size());
    plans = plans_by_size(call, axes, sizes);
  } else {
    const std::vector<double> scales = numbers(call.tensor(scales_at));
    check_count(call, "scales", scales.size(), axes.size());
    for (size_t i = 0; i < axes.size(); ++i) plans.push_back(scaled_axis(call, axes[i], scales[i]));
  }
  if (string_attribute(call.node, "coordinate_transformation_mode", "") == "tf_crop_and_resize") {
    const std::vector<double> roi = numbers(call.tensor(1));
    check_count(call, "roi", roi.size(), 2 * axes.size());
    for (size_t i = 0; i < axes.size(); ++i) {
      plans[i].begin = roi[i];
      plans[i].end = roi[i + axes.size()];
    }
  }
  drop_unchanged(call, plans);
  return {RunValue(resized(call, plans), call.inputs[0].dtype)};
}

// Opset 7 has the scales as an attribute, 9 as an input; always asymmetric.
RunValues upsample(const OpCall& call) {
  const Tensor& x = call.tensor(0);
  std::vector<double> scales;
  if (call.has(1)) {
    scales = numbers(call.tensor(1));
  } else if (const auto found = call.node.attributes.find("scales");
             found != call.node.attributes.end() &&
             std::holds_alternative<std::vector<float>>(found->second)) {
    const auto& floats = std::get<std::vector<float>>(found->second);
    scales.assign(floats.begin(), floats.end());
  }
  check_count(call, "scales", scales.size(), static_cast<size_t>(x.dim()));
  std::vector<AxisPlan> plans;
  for (int64_t i = 0; i < x.dim(); ++i) plans.push_back(scaled_axis(call, i, scales[i]));
  drop_unchanged(call, plans);
  return {RunValue(resized(call, plans), call.inputs[0].dtype)};
}

constexpr OpEntry kEntries[] = {
    {"", "Resize", resize},
    {"", "Upsample", upsample},
};

}  // namespace

std::span<const OpEntry> resize_ops() { return kEntries; }

}  // namespace niwaki
