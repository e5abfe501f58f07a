#include "compress/ops/op_arguments.h"

#include <limits>

namespace niwaki {
namespace {

constexpr int64_t kMostElements = int64_t{1} << 31;

const Body& body_of(const OpCall& call, const std::string& name) {
  const auto found = call.node.bodies.find(name);
  if (found == call.node.bodies.end()) refuse(call, cat("the body '", name, "' is missing"));
  return found->second;
}

bool is_true(const OpCall& call, const RunValue& value) {
  if (!value.tensor.defined() || value.tensor.numel() != 1) refuse(call, "a condition is no single boolean");
  return value.tensor.item().toBool();
}

/// Gathers what each iteration yields for one scan output, within the limit on elements.
class ScanOutput {
 public:
  void add(const OpCall& call, const RunValue& value) {
    if (!value.tensor.defined() && !value.strings) refuse(call, "a scan output is no tensor");
    count_ += value.strings ? static_cast<int64_t>(value.strings->size()) : value.tensor.numel();
    if (count_ >= kMostElements) {
      throw ModelError("E1004", cat(printable(call.node.op), " gathers a scan output of ", count_, " elements"),
                       {.found = "the limit is 2^31 elements"});
    }
    values_.push_back(value);
  }

  RunValue stacked(const OpCall& call, int64_t axis, bool is_reverse) const {
    if (values_.empty()) return {at::empty({0})};
    std::vector<Tensor> parts;
    for (const RunValue& value : values_) {
      if (value.strings) refuse_unsupported(call, "scan outputs of strings");
      parts.push_back(movable(value));
    }
    if (is_reverse) std::reverse(parts.begin(), parts.end());
    return restored(values_[0], at::stack(parts, front_axis(call, axis, parts[0].dim() + 1)));
  }

 private:
  std::vector<RunValue> values_;
  int64_t count_ = 0;
};

RunValues run_if(const OpCall& call) {
  return call.run_body(body_of(call, is_true(call, present(call, 0)) ? "then_branch" : "else_branch"), {});
}

RunValues run_loop(const OpCall& call) {
  const Body& body = body_of(call, "body");
  const int64_t most = call.has(0) ? int_input(call, 0) : std::numeric_limits<int64_t>::max();
  bool goes_on = !call.has(1) || is_true(call, call.inputs[1]);
  const size_t carried = call.inputs.size() > 2 ? call.inputs.size() - 2 : 0;
  if (body.inputs.size() != carried + 2 || body.outputs.size() < carried + 1) {
    refuse(call, cat("a body of ", body.inputs.size(), " inputs and ", body.outputs.size(), " outputs carries ", carried, " values"));
  }
  RunValues inputs(call.inputs.begin() + (carried > 0 ? 2 : static_cast<int64_t>(call.inputs.size())), call.inputs.end());
  inputs.insert(inputs.begin(), {RunValue(), RunValue()});
  std::vector<ScanOutput> scans(body.outputs.size() - carried - 1);
  for (int64_t i = 0; i < most && goes_on; ++i) {
    if (i >= kMostElements) throw ModelError("E1004", cat("Loop runs for more than ", i, " iterations"));
    inputs[0] = at::scalar_tensor(i, at::kLong);
    inputs[1] = at::scalar_tensor(goes_on, at::kBool);
    RunValues outputs = call.run_body(body, inputs);
    goes_on = is_true(call, outputs.at(0));
    for (size_t k = 0; k < carried; ++k) inputs[k + 2] = std::move(outputs[k + 1]);
    for (size_t k = 0; k < scans.size(); ++k) scans[k].add(call, outputs[carried + 1 + k]);
  }
  RunValues results(inputs.begin() + 2, inputs.end());
  for (const ScanOutput& scan : scans) results.push_back(scan.stacked(call, 0, false));
  return results;
}

std::vector<int64_t> per_value(const OpCall& call, const std::string& name, size_t count) {
  std::vector<int64_t> given = ints_attribute(call.node, name);
  if (given.empty()) return std::vector<int64_t>(count, 0);
  if (given.size() != count) refuse(call, cat(name, " has ", given.size(), " entries instead of ", count));
  return given;
}

/// Directions and axes of the scanned values, of inputs and of outputs.
struct ScanPlan {
  std::vector<int64_t> input_directions, input_axes, output_directions, output_axes;
};

/// Runs the body along the scan axes; `values` are states, then scanned inputs.
RunValues scan_once(const OpCall& call, const Body& body, RunValues values, const ScanPlan& plan, int64_t length) {
  const size_t scanned = plan.input_axes.size(), states = values.size() - scanned;
  std::vector<ScanOutput> scans(body.outputs.size() - states);
  RunValues inputs(values.begin(), values.begin() + static_cast<int64_t>(states));
  inputs.resize(values.size());
  for (int64_t t = 0; t < length; ++t) {
    for (size_t k = 0; k < scanned; ++k) {
      const RunValue& x = values[states + k];
      const Tensor numbers = movable(x);
      inputs[states + k] = restored(x, numbers.select(front_axis(call, plan.input_axes[k], numbers.dim()),
                                                      plan.input_directions[k] != 0 ? length - 1 - t : t));
    }
    RunValues outputs = call.run_body(body, inputs);
    for (size_t k = 0; k < states; ++k) inputs[k] = std::move(outputs.at(k));
    for (size_t k = 0; k < scans.size(); ++k) scans[k].add(call, outputs.at(states + k));
  }
  RunValues results(inputs.begin(), inputs.begin() + static_cast<int64_t>(states));
  for (size_t k = 0; k < scans.size(); ++k) {
    results.push_back(scans[k].stacked(call, plan.output_axes[k], plan.output_directions[k] != 0));
  }
  return results;
}

size_t scanned_inputs(const OpCall& call, const Body& body, size_t values) {
  const int64_t scanned = call.attribute("num_scan_inputs", 0);
  if (scanned < 1 || scanned > static_cast<int64_t>(values) || body.outputs.size() < values - static_cast<size_t>(scanned)) {
    refuse(call, cat("num_scan_inputs ", scanned, " of ", values, " inputs"));
  }
  return static_cast<size_t>(scanned);
}

RunValues run_scan_9(const OpCall& call, const Body& body) {
  const size_t scanned = scanned_inputs(call, body, call.inputs.size()), states = call.inputs.size() - scanned;
  const ScanPlan plan{per_value(call, "scan_input_directions", scanned), per_value(call, "scan_input_axes", scanned),
                      per_value(call, "scan_output_directions", body.outputs.size() - states),
                      per_value(call, "scan_output_axes", body.outputs.size() - states)};
  const std::vector<int64_t> sizes = sizes_of(present(call, states));
  const int64_t axis = front_axis(call, plan.input_axes[0], static_cast<int64_t>(sizes.size()));
  return scan_once(call, body, {call.inputs.begin(), call.inputs.end()}, plan, sizes[static_cast<size_t>(axis)]);
}

/// Scan of opset 8: a batch axis in front of everything, and a length of each sample as input 0.
RunValues run_scan_8(const OpCall& call, const Body& body) {
  const size_t count = call.inputs.size() - 1, scanned = scanned_inputs(call, body, count), states = count - scanned;
  const size_t scans = body.outputs.size() - states;
  const ScanPlan plan{per_value(call, "directions", scanned), std::vector<int64_t>(scanned, 0), std::vector<int64_t>(scans, 0),
                      std::vector<int64_t>(scans, 0)};
  const Tensor first = call.tensor(1 + states);  // [batch, length, ...]
  if (first.dim() < 2) refuse(call, "a scanned input has no axes for batch and time");
  const std::vector<int64_t> lengths = call.has(0) ? call.ints(0) : std::vector<int64_t>(static_cast<size_t>(first.size(0)), first.size(1));
  std::vector<std::vector<Tensor>> samples(body.outputs.size());
  for (int64_t b = 0; b < first.size(0); ++b) {
    const int64_t length = lengths.at(static_cast<size_t>(b));
    RunValues values;
    for (size_t k = 0; k < count; ++k) {
      const Tensor sample = call.tensor(1 + k)[b];
      values.push_back({k < states ? sample : sample.narrow(0, 0, length), call.inputs[1 + k].dtype});
    }
    const RunValues results = scan_once(call, body, values, plan, length);
    for (size_t k = 0; k < results.size(); ++k) {
      Tensor y = results[k].tensor;
      if (k >= states && length < first.size(1)) {
        std::vector<int64_t> padding(2 * static_cast<size_t>(y.dim()), 0);
        padding.back() = first.size(1) - length;
        y = at::constant_pad_nd(y, padding, 0);
      }
      samples[k].push_back(y);
    }
  }
  RunValues outputs;
  for (const std::vector<Tensor>& sample : samples) outputs.emplace_back(sample.empty() ? at::empty({0}) : at::stack(sample));
  return outputs;
}

RunValues run_scan(const OpCall& call) {
  if (call.inputs.empty()) throw ModelError("E1107", "Scan has no inputs");
  return call.opset < 9 ? run_scan_8(call, body_of(call, "body")) : run_scan_9(call, body_of(call, "body"));
}

}  // namespace

std::span<const OpEntry> control_flow_ops() {
  static const OpEntry entries[] = {{"", "If", run_if}, {"", "Loop", run_loop}, {"", "Scan", run_scan}};
  return entries;
}

}  // namespace niwaki
