#include "passes/quantize/quantize_static.h"

#include "compress/dataset.h"
#include "compress/executor.h"
#include "compress/onnx/infer_shapes.h"
#include "compress/onnx/raise_opset.h"
#include "compress/parallel.h"
#include "compress/statistics.h"
#include "passes/quantize/place_qdq.h"

namespace niwaki {
namespace {

constexpr int64_t kOpset = 13;               // DequantizeLinear along an axis
constexpr int64_t kOpsetInt4 = 21;

KnownSizes probe(const Graph& graph, const Dataset& data) {
  KnownSizes sizes;
  const Executor executor(graph);
  executor.run(data.head(1).batch(0).inputs, [&](ValueId id, const Tensor& numbers) { sizes[id] = numbers.sizes().vec(); });
  return sizes;
}

std::set<NodeId> refused_nodes(const Graph& graph, const PassContext& context) {
  std::set<NodeId> refused;
  for (const NodeId id : graph.main().nodes) {
    if (!is_selected(graph, id, context.keep, context.only)) refused.insert(id);
  }
  return refused;
}

/// Values that are read or written in codes, and whose grid each of them shares.
struct Grids {
  std::vector<ValueId> values;               // in execution order
  std::map<ValueId, ValueId> root;           // behind pools and moves, the value that decides
};

Grids grids_of(const PrecisionPlan& plan) {
  Grids grids;
  std::set<ValueId> seen;
  const auto take = [&](ValueId id, ValueId root) {
    if (seen.insert(id).second) {
      grids.values.push_back(id);
      grids.root[id] = root;
    }
  };
  std::set<ValueId> read;
  for (const IntegerUnit& unit : plan.units) read.insert(unit.inputs.begin(), unit.inputs.end());
  for (const IntegerUnit& unit : plan.units) {
    for (const ValueId input : unit.inputs) take(input, input);
    // a Gemm kernel whose codes nobody reads gives float by itself, and more exactly
    const bool gives_float = unit.gives_float() && !read.contains(unit.output);
    if (gives_float) continue;
    const bool passes = unit.kind == IntegerUnit::Kind::pool || unit.kind == IntegerUnit::Kind::move;
    take(unit.output, passes ? grids.root.at(unit.inputs[0]) : unit.output);
  }
  return grids;
}

class Quantizer {
 public:
  Quantizer(Graph& graph, const QuantizeStaticOptions& options, PassContext& context, PrecisionPlan plan)
      : graph_(graph), options_(options), context_(context), plan_(std::move(plan)), grids_(grids_of(plan_)) {}

  void run() {
    measure();
    place_activations();
    for (const IntegerUnit& unit : plan_.units) {
      if (unit.kind == IntegerUnit::Kind::linear) quantize_linear(unit);
      else context_.report.change(labels_.at(unit.node), {{"kernel", "integer"}});
    }
    for (const auto& [node, reason] : plan_.kept) context_.report.skip(graph_.label(node), reason);
  }

 private:
  void measure();
  void place_activations();
  void quantize_linear(const IntegerUnit& unit);
  void make_room(const LinearView& view, ActivationGrid input, int64_t most, Tensor& codes, Tensor& scale, const Tensor& bias);
  Tensor corrected_bias(const LinearView& view, const Tensor& weight, const Tensor& rounded) const;

  Graph& graph_;
  const QuantizeStaticOptions& options_;
  PassContext& context_;
  PrecisionPlan plan_;
  Grids grids_;
  std::map<NodeId, std::string> labels_;
  std::map<NodeId, LinearView> views_;
  std::map<ValueId, ActivationGrid> grid_;   // by value
  std::map<ValueId, EstimatedRange> ranges_;
  std::map<ValueId, QuantizedValue> placed_; // by value, as it was before the edit
  Statistics statistics_;
};

void Quantizer::measure() {
  Wanted wanted;
  for (const auto& [value, root] : grids_.root) wanted.histograms.insert(root);
  for (const IntegerUnit& unit : plan_.units) {
    labels_[unit.node] = graph_.label(unit.node);
    if (unit.kind != IntegerUnit::Kind::linear) continue;
    views_[unit.node] = *linear_view(graph_, unit.node);
    if (options_.correct_bias && views_[unit.node].kind != LinearKind::matmul) wanted.input_means.push_back(views_[unit.node]);
  }
  const Executor executor(graph_);
  statistics_ = collect(executor, graph_, *context_.calibration, wanted, context_.progress);
  std::vector<ValueId> roots(wanted.histograms.begin(), wanted.histograms.end());
  std::vector<EstimatedRange> found(roots.size());
  parallel_for(static_cast<int64_t>(roots.size()), [&](int64_t i) {
    const auto index = static_cast<size_t>(i);
    found[index] = estimate_range(statistics_.histogram(roots[index]), options_.range_estimator, options_.percentile, 8, options_.symmetric);
  });
  for (size_t i = 0; i < roots.size(); ++i) ranges_[roots[i]] = found[i];
  for (const auto& [value, root] : grids_.root) grid_[value] = grid_of(ranges_.at(root), 8, options_.symmetric);
}

/// Pairs behind each value; readers with integer kernels, and all readers of a value that a kernel makes, read the numbers
/// behind the pair.
void Quantizer::place_activations() {
  std::set<ValueId> made;                    // by integer kernels
  std::set<NodeId> nodes = plan_.integer;
  for (const IntegerUnit& unit : plan_.units) made.insert(unit.output);
  for (const ValueId value : grids_.values) {
    const ValueId root = grids_.root.at(value);
    const auto shared = placed_.find(root);
    const std::vector<NodeId> readers(graph_.consumers(value).begin(), graph_.consumers(value).end());
    ValueId computed = value;
    const bool is_output = graph_.is_output(value);
    const bool is_made = made.contains(value);
    if (is_output && is_made) {              // the interface's name goes to the numbers behind the pair
      const auto maker = *graph_.producer(value);
      const Value like = graph_.value(value);
      computed = graph_.add_value({.name = graph_.fresh_name(like.name + ".f"), .dtype = like.dtype, .shape = like.shape});
      std::vector<ValueId> outputs = graph_.node(maker).outputs;
      std::replace(outputs.begin(), outputs.end(), value, computed);
      graph_.set_outputs(maker, outputs);
    }
    QuantizedValue pair = place_qdq(graph_, computed, grid_.at(value), shared == placed_.end() ? nullptr : &shared->second);
    if (is_output && is_made) {
      const NodeId dequantize = *graph_.producer(pair.numbers);
      graph_.set_outputs(dequantize, {value});
      pair.numbers = value;
    }
    for (const NodeId reader : readers) {
      if (!is_made && !nodes.contains(reader)) continue;
      const auto inputs = graph_.node(reader).inputs;
      for (size_t i = 0; i < inputs.size(); ++i) {
        if (inputs[i] == value) graph_.set_input(reader, i, pair.numbers);
      }
    }
    placed_[value] = pair;
  }
}

/// b' = b - (rounded - w) * mean(x): the mean of the output stays what it was (algorithms.md 0.6, 3.7).
Tensor Quantizer::corrected_bias(const LinearView& view, const Tensor& weight, const Tensor& rounded) const {
  const int64_t out = weight.size(view.channel_axis);
  Tensor bias = view.bias == ValueId::absent ? at::zeros({out}, at::kDouble) : values(*graph_.constant(view.bias)).to(at::kDouble).reshape({-1});
  if (bias.numel() == 1 && out > 1) bias = bias.expand({out});
  if (!options_.correct_bias || view.kind == LinearKind::matmul) return bias;
  const Tensor difference = weight_rows(view, (rounded - weight).to(at::kDouble));                 // [out, in]
  const Tensor mean = statistics_.input_mean(view.node).reshape({view.groups, -1});                // [groups, in]
  const Tensor per_output = mean.repeat_interleave(out / view.groups, 0);                          // [out, in]
  return bias - (difference * per_output).sum(1);
}

/// Where the int32 codes of a bias, at scale_x * scale_w, would not leave room for the sums, the weight's scale grows.
void Quantizer::make_room(const LinearView& view, ActivationGrid input, int64_t most, Tensor& codes, Tensor& scale, const Tensor& bias) {
  const Tensor weight = values(*graph_.constant(view.weight));
  const double reach = std::max(255 - input.zero_point, input.zero_point);
  const Tensor sums = weight_rows(view, codes.to(at::kDouble)).abs().sum(1) * reach;               // [out]
  const double room = 2147483647.0;
  bool has_grown = false;
  for (int64_t row = 0; row < bias.numel(); ++row) {
    Tensor shared = scale[scale.numel() == 1 ? 0 : row];
    const double step = static_cast<double>(input.scale) * shared.item<double>();
    const double magnitude = std::fabs(bias[row].item<double>());
    if (magnitude / step + sums[row].item<double>() < room) continue;
    shared.fill_(1.0001 * magnitude / (static_cast<double>(input.scale) * (room - sums[row].item<double>())));
    has_grown = true;
  }
  if (!has_grown) return;
  std::vector<int64_t> broadcast(static_cast<size_t>(weight.dim()), 1);
  broadcast[static_cast<size_t>(view.channel_axis)] = scale.numel();
  codes = at::round(weight / scale.reshape(broadcast)).clamp(-most, most).to(at::kChar).contiguous();
}

void Quantizer::quantize_linear(const IntegerUnit& unit) {
  const LinearView& view = views_.at(unit.node);
  const std::string label = labels_.at(unit.node);
  const Constant constant = *graph_.constant(view.weight);
  const Tensor weight = values(constant);
  const int64_t axis = view.channel_axis;
  const int64_t most = options_.target == Target::onnxruntime_cpu_novnni ? 64 : (int64_t{1} << (options_.bits - 1)) - 1;
  const bool per_tensor = options_.granularity == Granularity::per_tensor;
  const Tensor rows = weight.movedim(axis, 0).reshape({per_tensor ? 1 : weight.size(axis), -1}).contiguous();
  Tensor scale = least_squares_scale(rows, -most, most, options_.bits < 8 ? 80 : 1).contiguous();
  std::vector<int64_t> broadcast(static_cast<size_t>(weight.dim()), 1);
  broadcast[static_cast<size_t>(axis)] = per_tensor ? 1 : weight.size(axis);
  Tensor codes = at::round(weight / scale.reshape(broadcast)).clamp(-most, most).to(at::kChar).contiguous();
  const ActivationGrid input = grid_.at(unit.inputs[0]);
  const bool has_bias = view.bias != ValueId::absent;
  const Tensor rounded = codes.to(at::kFloat) * scale.reshape(broadcast);
  const Tensor bias = corrected_bias(view, weight, rounded);
  const bool writes_bias = has_bias || (options_.correct_bias && view.kind == LinearKind::conv);
  if (writes_bias) make_room(view, input, most, codes, scale, bias);
  const Tensor stored_scale = per_tensor ? scale.reshape({}) : scale;
  const std::string name = graph_.value(view.weight).name;
  const DType dtype = options_.bits == 4 ? DType::int4 : DType::int8;
  graph_.set_input(unit.node, view.weight_index, dequantize_constant(graph_, unit.node, name, codes, dtype, stored_scale, axis, view.kind != LinearKind::conv));
  if (writes_bias) {
    const Tensor bias_scale = (stored_scale * input.scale).to(at::kFloat);   // the float product, exactly: kernels check it
    const Tensor bias_codes = at::round(bias / bias_scale.to(at::kDouble)).clamp(-2147483647.0, 2147483647.0).to(at::kInt);
    const std::string bias_name = has_bias ? graph_.value(view.bias).name : label + ".bias";
    graph_.set_input(unit.node, 2, dequantize_constant(graph_, unit.node, bias_name, bias_codes, DType::int32, bias_scale, 0));
  }
  for (const ValueId old : {view.weight, view.bias}) {
    if (old != ValueId::absent && graph_.consumers(old).empty() && !graph_.is_output(old) && !graph_.is_main_input(old)) graph_.remove_constant(old);
  }
  const EstimatedRange range = ranges_.at(grids_.root.at(unit.inputs[0]));
  context_.report.change(label, {{"kernel", "integer"},
                                 {"sqnr_db", sqnr_db(weight, codes.to(at::kFloat) * scale.reshape(broadcast))},
                                 {"range", {range.low, range.high}},
                                 {"clipped", range.clipped}});
}

}  // namespace

void QuantizeStaticOptions::validate() const {
  if (granularity == Granularity::per_block) {
    throw UsageError("E2013", "granularity 'per_block' has no integer kernel; needed per_tensor or per_channel",
                     {.help = "--mode storage and --mode weight_only take per_block"});
  }
  if (bits != 8 && bits != 4) throw UsageError("E2008", cat("bits ", bits, " has no stored form for integer kernels; needed 8 or 4"));
}

void quantize_static(Graph& graph, const QuantizeStaticOptions& options, PassContext& context) {
  const Dataset& data = *context.calibration;
  const auto plan = [&] { return assign_precision(graph, probe(graph, data), options.placement, refused_nodes(graph, context)); };
  PrecisionPlan chosen = plan();
  const int64_t wanted = options.bits == 4 ? kOpsetInt4 : kOpset;
  if (!chosen.units.empty() && graph.opset() < wanted) {
    const int64_t before = graph.opset();
    try {
      raise_opset(graph, wanted);
      infer_shapes(graph);
      chosen = plan();                       // ids are new ones
      context.report.changes.emplace_back("opset", cat("raised from ", before, " to ", wanted, ": scales along an axis need it"));
    } catch (const UnsupportedError& error) {
      context.report.notes.push_back(cat("W3105: no integer kernels: ", error.what()));
      for (const IntegerUnit& unit : chosen.units) chosen.kept[unit.node] = error.message();
      chosen.units.clear();
    }
  }
  if (chosen.units.empty()) {
    for (const auto& [node, reason] : chosen.kept) context.report.skip(graph.label(node), reason);
    return;
  }
  Quantizer(graph, options, context, std::move(chosen)).run();
}

}  // namespace niwaki
