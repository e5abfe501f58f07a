#include "passes/prune/prune_channels.h"

#include "compress/error.h"
#include "compress/sensitivity.h"
#include "compress/statistics.h"
#include "passes/prune/channel_costs.h"
#include "passes/prune/linear_bias.h"
#include "passes/prune/obs_order.h"
#include "passes/prune/prune_target.h"
#include "passes/prune/reestimate_batch_norm.h"
#include "passes/prune/repair_channels.h"
#include "passes/prune/slice_classes.h"

#include <algorithm>

namespace niwaki {
namespace {

constexpr double kDamp = 1e-3;               // of the mean moment, in the loss curves
constexpr int64_t kSensitivitySamples = 512;
constexpr int64_t kDefaultRound = 8;
constexpr double kTimeWeight = 0.1;           // of time on the target, beside multiply-accumulates, in what a cut is worth
constexpr double kLeastSaving = 0.5;          // of time, as a share of the saving of multiply-accumulates
constexpr double kWorthTime = 1.02;           // loss of faster widths over that of others
constexpr double kWorthFinerGrid = 0.5;      // a grid of half the step is taken where it loses less than this share

PruneTarget target_of(const PruneChannelsOptions& options) {
  return {.macs_ratio = options.macs_ratio, .sparsity = options.sparsity, .latency_ratio = options.latency_ratio};
}

class Pruner {
 public:
  Pruner(Graph& graph, const PruneChannelsOptions& options, PassContext& context) : graph_(graph), options_(options), context_(context), classes_(graph, {.allow_approximate = options.allow_approximate, .whole_heads = options.whole_heads}) {}
  void run();

 private:
  void find_kept();
  void look();
  ObsProblem problem(const ChannelReader& reader) const;
  Tensor gradient_of(const ChannelReader& reader) const;
  void order(size_t family);
  std::vector<double> taylor(const ChannelFamily& family, const std::vector<ClassId>& block) const;
  std::vector<double> magnitude(const std::vector<ClassId>& block) const;
  struct Widths {
    std::vector<int64_t> removed;            // units, by family
    int64_t round_to;
  };
  Widths widths(const std::vector<CostTerm>& terms, double budget, const SecondCost& second);
  double loss_of(const std::vector<int64_t>& removed) const;
  std::vector<CostTerm> budgeted_terms(const PruneTarget& target) const;
  Widths faster_widths(Widths chosen, const std::vector<CostTerm>& terms, double budget);
  std::set<ClassId> choose();
  void fold_means(const Graph& before, const std::set<ClassId>& removed);
  void report(const Graph& before, const std::set<ClassId>& removed);

  Graph& graph_;
  const PruneChannelsOptions& options_;
  PassContext& context_;
  AxisClasses classes_;
  std::set<NodeId> kept_, infinite_;         // left alone; of these, nodes with weights that are no numbers
  ChannelFamilies found_;
  std::optional<Statistics> statistics_;
  std::map<NodeId, OutputSensitivity> sensitivity_;
  KnownSizes sizes_;
  std::vector<std::vector<std::vector<size_t>>> orders_;   // by family, by block: places in the block, first to go first
  std::vector<std::vector<double>> losses_;                // by family
};

void Pruner::find_kept() {
  for (const NodeId id : graph_.main().nodes) {
    if (!is_selected(graph_, id, context_.keep, context_.only)) kept_.insert(id);
    const auto view = linear_view(graph_, id);
    if (view && !at::isfinite(values(*graph_.constant(view->weight))).all().item<bool>()) {
      infinite_.insert(id);
      kept_.insert(id);
    }
  }
}

void Pruner::look() {
  sizes_ = sizes_of_one(graph_, context_.calibration);
  if (!context_.calibration) return;
  Wanted wanted{.seed = context_.seed};
  want_grams(graph_, found_, wanted);
  statistics_ = collect(Executor(graph_), graph_, *context_.calibration, wanted, context_.progress);
  const std::vector<LinearView> views = linear_views(graph_);
  sensitivity_ = output_sensitivity(graph_, views, *context_.calibration, kSensitivitySamples, context_.seed, context_.progress);
  if (sensitivity_.empty()) context_.report.notes.push_back("N3005: no gradient reaches the weights: errors of all nodes count alike");
}

Tensor Pruner::gradient_of(const ChannelReader& reader) const {
  const auto found = sensitivity_.find(reader.node);
  if (!reader.view || found == sensitivity_.end()) return {};
  const Tensor all = found->second.gradient;
  const int64_t per_group = all.numel() / reader.view->groups;
  return all.narrow(0, reader.group * per_group, per_group);
}

/// Rows scaled so that the squared error is half a divergence in nats where gradients are known, else relative.
ObsProblem Pruner::problem(const ChannelReader& reader) const {
  Tensor rows = reader.rows(graph_);
  const auto sensitivity = sensitivity_.find(reader.node);
  const Tensor moments = moments_of(*statistics_, reader, sensitivity == sensitivity_.end() ? 1 : sensitivity->second.coherence());
  const Tensor gradient = gradient_of(reader);
  if (gradient.defined()) {
    rows = rows * (gradient / 2).sqrt().unsqueeze(1);
  } else {
    const double energy = (rows.mm(moments) * rows).sum().item<double>();
    rows = rows / std::sqrt(std::max(energy, 1e-30));
  }
  return {rows, moments};
}

std::vector<double> Pruner::taylor(const ChannelFamily& family, const std::vector<ClassId>& block) const {
  std::map<ClassId, double> costs;
  double num_makers = 0;
  for (const LinearView& maker : family.makers) {
    const auto found = sensitivity_.find(maker.node);
    if (found == sensitivity_.end()) continue;
    const bool is_conv = maker.kind == LinearKind::conv || maker.kind == LinearKind::conv_transpose;
    const auto ids = classes_.axis(maker.output, is_conv ? 1 : classes_.num_axes(maker.output) - 1);
    const Tensor costs_of = found->second.taylor.contiguous();
    if (static_cast<int64_t>(ids.size()) != costs_of.numel()) continue;
    for (size_t i = 0; i < ids.size(); ++i) costs[ids[i]] += costs_of.const_data_ptr<double>()[i] / 2;
    ++num_makers;
  }
  std::vector<double> scores;
  for (const ClassId id : block) scores.push_back(num_makers > 0 ? costs[id] / num_makers : 0);
  return num_makers > 0 ? scores : magnitude(block);
}

/// Share of the squares of all constants that the class has a part in.
std::vector<double> Pruner::magnitude(const std::vector<ClassId>& block) const {
  std::vector<double> scores(block.size(), 0);
  double total = 0;
  for (size_t i = 0; i < block.size(); ++i) {
    for (const AxisIndex& member : classes_.members(block[i])) {
      const Constant& constant = *graph_.constant(member.constant);
      if (!is_float(constant.dtype) || constant.sizes.size() < 2) continue;
      scores[i] += at::square(values(constant).select(static_cast<int64_t>(member.axis), member.index).to(at::kDouble)).sum().item<double>();
    }
    total += scores[i];
  }
  for (double& score : scores) score /= std::max(total, 1e-30);
  return scores;
}

std::vector<size_t> sorted_places(const std::vector<double>& scores) {
  std::vector<size_t> places(scores.size());
  std::iota(places.begin(), places.end(), size_t{0});
  std::stable_sort(places.begin(), places.end(), [&](size_t a, size_t b) { return scores[a] < scores[b]; });
  return places;
}

/// The order in which the classes of a family go, block by block, and what it costs.
void Pruner::order(size_t index) {
  const ChannelFamily& family = found_.families[index];
  const bool has_curve = statistics_ && !family.readers.empty();
  const bool is_greedy = has_curve && (options_.importance == ChannelImportance::automatic || options_.importance == ChannelImportance::obs);
  const size_t most = family.may_vanish ? family.width() : family.width() - 1;
  losses_[index].assign(most + 1, 0);
  for (const auto& block : family.blocks) {
    const bool wants_taylor = statistics_ && (family.has_other_readers || options_.importance == ChannelImportance::taylor || family.readers.empty());
    const std::vector<double> scores = wants_taylor ? taylor(family, block) : options_.importance == ChannelImportance::obs ? std::vector<double>{} : magnitude(block);
    std::vector<size_t> given = is_greedy && !family.has_other_readers ? std::vector<size_t>{} : sorted_places(scores);
    ObsOrder found;
    if (has_curve) {
      std::vector<ObsProblem> problems;
      std::vector<ObsUnit> units(block.size());
      for (const size_t reader_index : family.readers) {
        const ChannelReader& reader = found_.readers[reader_index];
        bool is_read = false;
        for (size_t i = 0; i < block.size(); ++i) {
          const auto columns = reader.columns.find(block[i]);
          if (columns == reader.columns.end()) continue;
          units[i].parts.push_back({problems.size(), columns->second});
          is_read = true;
        }
        if (is_read) problems.push_back(problem(reader));
      }
      found = order_by_obs(std::move(problems), units, most, kDamp, given);
    } else {
      found.order = given;
      found.losses.assign(most + 1, 0);
    }
    double sum = 0;
    for (size_t k = 0; k <= most; ++k) {
      losses_[index][k] += found.losses[k] + sum;
      // what no curve sees of a channel: products of activations, or all of it
      if (k < most && (!has_curve || family.has_other_readers)) sum += scores[found.order[k]];
    }
    orders_[index].push_back(std::move(found.order));
  }
}

/// On the grid that was asked for; else on the coarsest of 8, 4, 2, 1 that reaches the budget and costs little more than the next.
Pruner::Widths Pruner::widths(const std::vector<CostTerm>& terms, double budget, const SecondCost& second) {
  const auto attempt = [&](int64_t round_to) {
    std::vector<WidthVariable> variables;
    for (size_t i = 0; i < found_.families.size(); ++i) {
      variables.push_back({.width = static_cast<int64_t>(found_.families[i].width()), .losses = losses_[i], .round_to = round_to});
    }
    return choose_widths(variables, terms, budget, second);
  };
  if (options_.round_to > 0) return {attempt(options_.round_to), options_.round_to};
  int64_t round_to = kDefaultRound;
  std::vector<int64_t> removed = attempt(round_to);
  while (round_to > 1) {
    const std::vector<int64_t> finer = attempt(round_to / 2);
    const bool is_reached = cost_of(terms, removed) <= budget;
    if (is_reached && loss_of(finer) > kWorthFinerGrid * loss_of(removed)) break;
    removed = finer;
    round_to /= 2;
  }
  return {removed, round_to};
}

double Pruner::loss_of(const std::vector<int64_t>& removed) const {
  double sum = 0;
  for (size_t i = 0; i < removed.size(); ++i) sum += losses_[i][static_cast<size_t>(removed[i])];
  return sum;
}

/// Kernels compute channels in blocks, so a cut may save multiply-accumulates and hardly any time. Then widths of the same budget
/// that the target computes faster, where they lose hardly more.
Pruner::Widths Pruner::faster_widths(Widths chosen, const std::vector<CostTerm>& terms, double budget) {
  const SecondCost time{time_terms(graph_, classes_, found_.families, sizes_), kTimeWeight};
  const std::vector<int64_t> none(chosen.removed.size(), 0);
  const auto share = [&](const std::vector<CostTerm>& of) { return cost_of(of, chosen.removed) / cost_of(of, none); };
  if (1 - share(time.terms) >= kLeastSaving * (1 - share(terms))) return chosen;
  const Widths faster = widths(terms, budget, time);
  const bool is_allowed = loss_of(faster.removed) <= kWorthTime * loss_of(chosen.removed) && cost_of(terms, faster.removed) <= budget;
  return is_allowed && cost_of(time.terms, faster.removed) < cost_of(time.terms, chosen.removed) ? faster : chosen;
}

std::vector<CostTerm> Pruner::budgeted_terms(const PruneTarget& target) const {
  if (target.counts_macs()) return mac_terms(graph_, classes_, found_.families, sizes_);
  if (target.counts_time()) return time_terms(graph_, classes_, found_.families, sizes_);
  return weight_terms(graph_, classes_, found_.families);
}

std::set<ClassId> Pruner::choose() {
  const PruneTarget target = target_of(options_);
  const std::vector<CostTerm> terms = budgeted_terms(target);
  const std::vector<int64_t> none(found_.families.size(), 0);
  const double present = cost_of(terms, none), whole = target.whole(present, context_.original_macs), budget = target.budget(whole);
  if (present <= budget) return {};
  orders_.resize(found_.families.size());
  losses_.resize(found_.families.size());
  context_.progress.start("loss curves", static_cast<int64_t>(found_.families.size()));
  for (size_t i = 0; i < found_.families.size(); ++i) {
    order(i);
    context_.progress.advance();
  }
  Widths chosen = widths(terms, budget, {});
  if (target.counts_macs()) chosen = faster_widths(std::move(chosen), terms, budget);
  const auto& [removed, round_to] = chosen;
  if (options_.round_to == 0 && round_to < kDefaultRound) {
    context_.report.notes.push_back(cat("N3006: widths are multiples of ", round_to, ": multiples of ", 2 * round_to, " miss the target or lose far more"));
  }
  const double reached = cost_of(terms, removed);
  if (reached > budget) {
    refuse_target(target, reached / whole, cat(found_.families.size(), " groups of channels that may shrink"),
                  "ask for less, lower --round-to, or see what is frozen with `niwaki inspect MODEL --prunable`");
  }
  std::set<ClassId> classes;
  for (size_t i = 0; i < removed.size(); ++i) {
    for (size_t block = 0; block < orders_[i].size(); ++block) {
      for (int64_t k = 0; k < removed[i]; ++k) classes.insert(found_.families[i].blocks[block][orders_[i][block][static_cast<size_t>(k)]]);
    }
  }
  return classes;
}

/// b += W[:, removed] E[x_removed]: kept weights stay as they are.
void Pruner::fold_means(const Graph& before, const std::set<ClassId>& removed) {
  if (!statistics_) return;
  std::map<NodeId, std::vector<Tensor>> shifts;          // by group
  for (const ChannelReader& reader : found_.readers) {
    if (!reader.view || kept_.contains(reader.node)) continue;
    std::vector<int64_t> gone;
    for (const auto& [id, columns] : reader.columns) {
      if (removed.contains(id)) gone.insert(gone.end(), columns.begin(), columns.end());
    }
    const Tensor rows = reader.rows(before);
    Tensor shift = at::zeros({rows.size(0)}, at::kDouble);
    if (!gone.empty()) {
      const Tensor columns = at::tensor(gone, at::kLong);
      shift = rows.index_select(1, columns).mv(statistics_->gram(reader.node).mean()[reader.group].index_select(0, columns));
    }
    shifts[reader.node].push_back(shift);
  }
  for (const auto& [id, groups] : shifts) {
    const Tensor shift = at::cat(groups);
    const LinearView view = *linear_view(graph_, id);
    const auto place = bias_place(graph_, view);
    if (!place || place->constant == ValueId::absent || shift.abs().max().item<double>() == 0) continue;
    const size_t rank = classes_.num_axes(view.output);
    const std::vector<int64_t> left = kept_indices(classes_, removed, view.output, view.kind == LinearKind::conv ? 1 : rank - 1);
    add_to_bias(graph_, view, *place, shift.index_select(0, at::tensor(left, at::kLong)));
  }
}

void Pruner::report(const Graph& before, const std::set<ClassId>& removed) {
  for (const LinearView& view : linear_views(before)) {
    const std::string label = before.label(view.node);
    if (kept_.contains(view.node)) {
      context_.report.skip(label, infinite_.contains(view.node) ? "its weight has numbers that are not finite" : "left alone by --keep or --only");
      continue;
    }
    const auto &old = before.constant(view.weight)->sizes, &now = graph_.constant(graph_.node(view.node).inputs[view.weight_index])->sizes;
    if (old == now) {
      context_.report.skip(label, "its width does not pay, or no rule proves that it may change");
      continue;
    }
    Json gone = Json::array();
    const auto ids = classes_.axis(view.weight, static_cast<size_t>(view.channel_axis));
    for (size_t i = 0; i < ids.size(); ++i) {
      if (removed.contains(ids[i])) gone.push_back(i);
    }
    context_.report.change(label, {{"weight_before", old}, {"weight_after", now}, {"removed_outputs", gone}});
    context_.report.changes.emplace_back(before.value(view.weight).name, "channels are removed");
  }
}

void Pruner::run() {
  find_kept();
  found_ = find_channel_families(graph_, classes_, kept_);
  if (found_.families.empty()) {
    context_.report.notes.push_back("N3001: nothing can be pruned: no rule proves that a channel may go");
    for (const FrozenAxis& axis : classes_.frozen()) context_.report.notes.push_back(cat("N3007: '", printable(graph_.value(axis.value).name), "' axis ", axis.axis, " stays: ", axis.reason));
    return;
  }
  look();
  const std::set<ClassId> removed = choose();
  if (removed.empty()) {
    context_.report.notes.push_back("N3008: exact clean-up alone reached the target");
    return;
  }
  const Graph before = graph_;
  slice_classes(graph_, classes_, removed);
  report(before, removed);
  if (!options_.refit || !context_.calibration) {
    fold_means(before, removed);
    return;
  }
  repair_channels(graph_, before, classes_, removed, kept_, sensitivity_, options_.stages, context_);
  settle_batch_norm(graph_, before, context_);
}

}  // namespace

void PruneChannelsOptions::validate() const { require_one_target(target_of(*this), "channels"); }

Needs PruneChannelsOptions::needs() const { return {.calibration = importance == ChannelImportance::obs || importance == ChannelImportance::taylor}; }

void prune_channels(Graph& graph, const PruneChannelsOptions& options, PassContext& context) { Pruner(graph, options, context).run(); }

}  // namespace niwaki
