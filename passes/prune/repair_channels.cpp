#include "passes/prune/repair_channels.h"

#include "compress/error.h"
#include "compress/graph_edit.h"
#include "passes/prune/linear_bias.h"
#include "passes/prune/slice_classes.h"

#include <algorithm>

namespace niwaki {
namespace {

constexpr double kDamps[] = {1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1};

/// Moments around the means, or plain where no bias takes the means.
struct Moments {
  Tensor xx, yx, yy;                         // [groups, in, in], [groups, out, in], [groups, out]
  Tensor x_mean, y_mean;
};

Moments moments_of(const Regression& sums, bool has_bias, double coherence) {
  const auto count = static_cast<double>(sums.count);
  const double more = coherence - 1;
  Moments found{(sums.products + more * sums.products_of_means) / count, (sums.cross + more * sums.cross_of_means) / count,
                (sums.target_squares + more * sums.squares_of_means) / count, sums.input_sums / count, sums.target_sums / count};
  if (!has_bias) return found;
  found.xx = found.xx - coherence * found.x_mean.unsqueeze(2) * found.x_mean.unsqueeze(1);
  found.yx = found.yx - coherence * found.y_mean.unsqueeze(2) * found.x_mean.unsqueeze(1);
  found.yy = found.yy - coherence * found.y_mean * found.y_mean;
  return found;
}

/// (C_yx - W C_xx)(C_xx + lambda)^-1 + W; undefined where the system cannot be solved.
Tensor solve(const Moments& moments, const Tensor& rows, double damp) {
  const Tensor mean = moments.xx.diagonal(0, 1, 2).mean(1).clamp_min(1e-30);                       // [groups]
  const Tensor damped = moments.xx + (damp * mean).reshape({-1, 1, 1}) * at::eye(moments.xx.size(1), at::kDouble);
  const auto [factor, info] = at::linalg_cholesky_ex(damped);
  if (info.any().item<bool>()) return {};
  const Tensor missing = moments.yx - at::bmm(rows, moments.xx);
  return rows + at::cholesky_solve(missing.transpose(1, 2), factor).transpose(1, 2);
}

/// Mean squared error of the rows on these moments, and of a bias that was fitted to other means.
double error_of(const Moments& moments, const Tensor& rows, const Tensor& bias, bool has_bias, double coherence) {
  const Tensor squares = (at::bmm(rows, moments.xx) * rows).sum() - 2 * (rows * moments.yx).sum() + moments.yy.sum();
  if (!has_bias) return squares.item<double>();
  const Tensor shift = (rows * moments.x_mean.unsqueeze(1)).sum(2) + bias - moments.y_mean;
  return (squares + coherence * (shift * shift).sum()).item<double>();
}

}  // namespace

LinearFit fit_linear(const RegressionPair& pair, const Tensor& rows, bool has_bias, double coherence) {
  Regression all = pair.fit;
  all.add(pair.held_out);
  const bool can_hold_out = pair.held_out.count > 0 && pair.fit.count > 0;
  const Regression &train = can_hold_out ? pair.fit : all, &judge = can_hold_out ? pair.held_out : all;
  const auto bias_for = [&](const Moments& moments, const Tensor& found) {
    return has_bias ? moments.y_mean - (found * moments.x_mean.unsqueeze(1)).sum(2) : at::zeros_like(moments.y_mean);
  };
  const Moments part = moments_of(train, has_bias, coherence), whole = moments_of(all, has_bias, coherence), other = moments_of(judge, has_bias, coherence);
  LinearFit best{.rows = rows, .bias = bias_for(whole, rows)};
  const double energy = std::max(other.yy.sum().item<double>(), 1e-30);
  best.error = error_of(other, rows, bias_for(part, rows), has_bias, coherence) / energy;
  best.error_before = best.error;
  for (const double damp : kDamps) {
    const Tensor found = solve(part, rows, damp);
    if (!found.defined()) continue;
    const double error = error_of(other, found, bias_for(part, found), has_bias, coherence) / energy;
    if (error >= best.error) continue;
    best.error = error;
    best.damp = damp;
  }
  if (best.damp == 0) return best;
  const Tensor found = solve(whole, rows, best.damp);
  if (!found.defined()) return best;
  best.rows = found;
  best.bias = bias_for(whole, found);
  return best;
}

namespace {

/// Rows of the weight by group, [groups, out, in], and back.
Tensor grouped_rows(const LinearView& view, const Tensor& weight) {
  const Tensor rows = weight_rows(view, weight.to(at::kDouble));
  return rows.reshape({view.groups, rows.size(0) / view.groups, rows.size(1)});
}

Constant weight_of(const LinearView& view, const Tensor& rows, const Constant& old) {
  const Tensor flat = rows.reshape({-1, rows.size(2)});
  const Tensor weight = view.kind == LinearKind::conv ? flat.reshape(old.sizes) : view.channel_axis == 0 ? flat : flat.t();
  return make_constant(weight.contiguous().to(scalar_type(old.dtype)), old.dtype);
}

/// Two branches that are both fitted must not make up for one loss twice: the first has its own target, the second the sum.
std::vector<FittedNode> without_open_sums(const Graph& graph, std::span<const FittedNode> nodes, const std::set<NodeId>& open) {
  std::vector<FittedNode> aimed(nodes.begin(), nodes.end());
  for (FittedNode& node : aimed) {
    const auto producer = node.beside == ValueId::absent ? std::nullopt : graph.producer(node.beside);
    if (!producer || !open.contains(*producer)) continue;
    node.sum = ValueId::absent;
    node.beside = ValueId::absent;
  }
  return aimed;
}

/// The values of the bias [outputs]; undefined where there is none.
Tensor bias_at(const Graph& graph, const std::optional<BiasPlace>& place) {
  if (!place || place->constant == ValueId::absent) return {};
  return values(*graph.constant(place->constant)).to(at::kDouble).reshape({-1});
}

Tensor original_bias(const Graph& original, const FittedNode& fitted) {
  const Tensor bias = bias_at(original, bias_place(original, fitted.original));
  if (!bias.defined()) return at::zeros({1}, at::kDouble);
  return fitted.kept.defined() && bias.numel() > 1 ? bias.index_select(0, fitted.kept) : bias;
}

void refit_stage(Graph& graph, const Graph& original, std::span<const FittedNode> nodes, const std::map<NodeId, OutputSensitivity>& sensitivity, PassContext& context) {
  auto found = collect_regressions(graph, original, nodes, *context.calibration, {.limit = 64, .seed = context.seed}, context.progress);
  for (const FittedNode& fitted : nodes) {
    const LinearView& view = fitted.edited;
    const auto place = bias_place(graph, view);
    // the target holds the bias of a Conv or Gemm, that of an Add behind a MatMul only where the target is a sum behind it
    const bool is_inside = place && place->constant != ValueId::absent && (view.kind != LinearKind::matmul || fitted.sum != ValueId::absent);
    const bool is_shared = place && place->constant != ValueId::absent && !has_single_use(graph, place->constant);
    const bool has_bias = place && !is_shared;
    const Constant old = *graph.constant(view.weight);
    const Tensor rows = grouped_rows(view, values(old));
    RegressionPair& pair = found.at(view.node);
    if (is_inside && !has_bias) {            // the bias stays: what the rows must make is less it
      context.report.skip(graph.label(view.node), "its bias is shared with other nodes, so it was not fitted");
      continue;
    }
    const auto known = sensitivity.find(view.node);
    const LinearFit fit = fit_linear(pair, rows, has_bias, known == sensitivity.end() ? 1 : known->second.coherence());
    graph.set_constant(view.weight, weight_of(view, fit.rows, old));
    if (has_bias) {
      const Tensor target = fit.bias.reshape({-1});
      const Tensor present = bias_at(graph, place);
      // what follows the target was there before, and may have been moved since
      const Tensor wanted = is_inside || !present.defined() ? target : target + original_bias(original, fitted);
      add_to_bias(graph, view, *place, present.defined() ? wanted - present : wanted);
    }
    context.report.change(graph.label(view.node), {{"error_before_refit", fit.error_before}, {"relative_error", fit.error}, {"damp", fit.damp}});
    found.erase(view.node);
  }
}

}  // namespace

bool can_refit(const Graph& graph, const LinearView& view) {
  if (!has_columns(graph, view) || !has_single_use(graph, view.weight) || !fixed_constant(graph, view.weight)) return false;
  const Node& node = graph.node(view.node);
  return view.kind != LinearKind::gemm || (float_attribute(node, "alpha", 1) == 1.0F && float_attribute(node, "beta", 1) == 1.0F);
}

void aim_at_sum(const Graph& graph, const Graph& original, FittedNode& fitted, const StandIns& stand_ins) {
  const LinearView& view = fitted.edited;
  ValueId made = view.output;
  if (view.kind == LinearKind::matmul) {
    const auto place = bias_place(graph, view);
    if (!place) return;
    made = graph.node(place->node).outputs[0];
  }
  const auto stands_for = [&](ValueId id) { return stand_ins.contains(id) ? stand_ins.at(id) : id; };
  if (stand_ins.contains(made)) fitted.sum = stand_ins.at(made);
  if (!has_single_use(graph, made)) return;
  const NodeId user = graph.consumers(made).front();
  const Node& add = graph.node(user);
  if (add.op != "Add" || !is_default_domain(add.domain)) return;
  const ValueId beside = add.inputs[add.inputs[0] == made ? 1 : 0];
  const auto &shape = graph.value(made).shape, &other = graph.value(beside).shape, &sum = graph.value(add.outputs[0]).shape;
  if (graph.constant(beside) || beside == made || !shape || !other || !sum || *shape != *other || *shape != *sum) return;
  if (original.node(user).outputs != add.outputs) return;
  fitted.sum = stands_for(add.outputs[0]);
  fitted.beside = beside;
}

void refit_linear_nodes(Graph& graph, const Graph& original, std::span<const FittedNode> nodes, const std::map<NodeId, OutputSensitivity>& sensitivity,
                        int max_stages, PassContext& context) {
  if (nodes.empty()) return;
  std::set<NodeId> open;                     // still to be fitted
  for (const FittedNode& fitted : nodes) open.insert(fitted.edited.node);
  const size_t stages = std::min(nodes.size(), static_cast<size_t>(max_stages));
  context.progress.start("repair", static_cast<int64_t>(stages));
  for (size_t i = 0; i < stages; ++i) {
    const size_t first = i * nodes.size() / stages, end = (i + 1) * nodes.size() / stages;
    refit_stage(graph, original, without_open_sums(graph, nodes.subspan(first, end - first), open), sensitivity, context);
    for (size_t k = first; k < end; ++k) open.erase(nodes[k].edited.node);
    context.progress.advance();
  }
}

namespace {

class Repair {
 public:
  Repair(const Graph& graph, const Graph& original, const AxisClasses& classes, const std::set<ClassId>& removed, const std::set<NodeId>& kept)
      : graph_(graph), original_(original), classes_(classes), removed_(removed), kept_(kept) {}
  std::vector<FittedNode> fitted_nodes() const;

 private:
  bool is_cut(ValueId value, size_t axis) const {
    const auto ids = classes_.axis(value, axis);
    return std::any_of(ids.begin(), ids.end(), [&](ClassId id) { return removed_.contains(id); });
  }
  bool sums_over_removed(const Node& node) const;
  std::set<NodeId> affected() const;
  Tensor kept_outputs(const LinearView& view) const;

  const Graph& graph_;
  const Graph& original_;
  const AxisClasses& classes_;
  const std::set<ClassId>& removed_;
  const std::set<NodeId>& kept_;
};

bool Repair::sums_over_removed(const Node& node) const {
  static const std::set<std::string> sums = {"Conv", "ConvTranspose", "Einsum", "GRU", "Gemm", "LSTM", "MatMul", "RNN"};
  if (!sums.contains(node.op) && node.op.find("Normalization") == std::string::npos && !node.op.starts_with("Reduce")) return false;
  if (node.op == "GRU" || node.op == "LSTM" || node.op == "RNN") return is_cut(node.inputs[0], 2) || is_cut(node.inputs[2], 2);
  const size_t rank = classes_.num_axes(node.inputs[0]);
  for (size_t axis = 0; axis < rank; ++axis) {
    if (is_cut(node.inputs[0], axis)) return true;
  }
  return false;
}

/// Nodes that compute other numbers than before.
std::set<NodeId> Repair::affected() const {
  std::set<NodeId> nodes;
  std::set<ValueId> changed;
  for (const NodeId id : original_.main().nodes) {
    const Node& node = original_.node(id);
    const bool is_behind = std::any_of(node.inputs.begin(), node.inputs.end(), [&](ValueId input) { return changed.contains(input); });
    if (!is_behind && !sums_over_removed(node)) continue;
    nodes.insert(id);
    changed.insert(node.outputs.begin(), node.outputs.end());
    changed.erase(ValueId::absent);
  }
  return nodes;
}

Tensor Repair::kept_outputs(const LinearView& view) const {
  const size_t rank = classes_.num_axes(view.output);
  const size_t axis = view.kind == LinearKind::conv ? 1 : rank - 1;
  if (!is_cut(view.output, axis)) return {};
  return at::tensor(kept_indices(classes_, removed_, view.output, axis), at::kLong);
}

std::vector<FittedNode> Repair::fitted_nodes() const {
  std::vector<FittedNode> nodes;
  const std::set<NodeId> behind = affected();
  for (const LinearView& view : linear_views(graph_)) {
    const auto before = behind.contains(view.node) ? linear_view(original_, view.node) : std::nullopt;
    if (!before || kept_.contains(view.node) || !can_refit(graph_, view) || !classes_.knows(view.output)) continue;
    nodes.push_back({.edited = view, .original = *before, .kept = kept_outputs(*before)});
    aim_at_sum(graph_, original_, nodes.back());
  }
  return nodes;
}

}  // namespace

void repair_channels(Graph& graph, const Graph& original, const AxisClasses& classes, const std::set<ClassId>& removed,
                     const std::set<NodeId>& kept, const std::map<NodeId, OutputSensitivity>& sensitivity, int max_stages, PassContext& context) {
  const std::vector<FittedNode> nodes = Repair(graph, original, classes, removed, kept).fitted_nodes();
  refit_linear_nodes(graph, original, nodes, sensitivity, max_stages, context);
}

}  // namespace niwaki
