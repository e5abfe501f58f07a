#include "passes/prune/prune_weights.h"

#include "compress/dataset.h"
#include "compress/executor.h"
#include "compress/macs.h"
#include "compress/parallel.h"
#include "passes/prune/allocation.h"
#include "passes/prune/layer_solver.h"
#include "passes/prune/layer_sums.h"
#include "passes/prune/prunable_layers.h"
#include "passes/prune/reestimate_batch_norm.h"
#include "passes/prune/repair_channels.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>

namespace niwaki {
namespace {

constexpr size_t kStages = 64;               // runs over the data, each up to its layers: about half as many whole ones
constexpr std::array kLevels = {0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95};   // of the loss curves
constexpr int64_t kCurveSamples = 128, kTrialSamples = 32;   // how the zeros are shared out needs less data than the fit

constexpr double kLeastShare = 0.01;         // of all weights: smaller layers stay dense; less beyond a sparsity of 0.7
constexpr double kSureRows = 16;             // per weight of a row: with fewer, a fit is worse than none where training follows
constexpr double kMostBytes = 2e9;           // of the second moments that are held together

struct Pattern {
  int64_t kept = 0, of = 0;                  // 0: unstructured
};

std::optional<Pattern> read_pattern(const std::string& text) {
  if (text == "unstructured") return Pattern{};
  Pattern pattern;
  const char* const end = text.data() + text.size();
  const auto first = std::from_chars(text.data(), end, pattern.kept);
  if (first.ec != std::errc() || first.ptr == end || *first.ptr != ':') return std::nullopt;
  const auto second = std::from_chars(first.ptr + 1, end, pattern.of);
  const bool is_good = second.ec == std::errc() && second.ptr == end && pattern.kept >= 1 && pattern.kept < pattern.of && pattern.of <= 64;
  return is_good ? std::optional(pattern) : std::nullopt;
}

double wanted_sparsity(const PruneWeightsOptions& options) {
  const Pattern pattern = *read_pattern(options.pattern);
  if (pattern.of > 0) return 1 - static_cast<double>(pattern.kept) / static_cast<double>(pattern.of);
  return options.sparsity.value_or(0.5);
}

/// How the weights are pruned, with all defaults resolved.
struct Method {
  Importance importance = Importance::magnitude;
  bool refit = false, has_sums = false;      // has_sums: runs the data
  bool makes_up = false;                     // kept weights and biases make up for what goes
  Pattern pattern;
  double sparsity = 0.5;
};

Method method_of(const Graph& graph, const PruneWeightsOptions& options, PassContext& context) {
  Method method{.importance = options.importance, .pattern = *read_pattern(options.pattern), .sparsity = wanted_sparsity(options)};
  std::string reason = context.calibration ? "" : "there is no calibration data";
  if (reason.empty() && options.needs().calibration == false && !unsupported_nodes(graph).empty()) reason = "the built-in executor cannot run the model";
  const bool can_run = reason.empty();
  if (options.importance == Importance::automatic) method.importance = can_run ? Importance::sparse_gpt : Importance::magnitude;
  method.refit = can_run && options.refit.value_or(true);
  method.has_sums = method.refit || (can_run && method.importance != Importance::magnitude);
  method.makes_up = method.refit || method.importance == Importance::sparse_gpt;
  if (!can_run && options.refit.value_or(true)) {
    context.report.notes.push_back(cat("N3010: ", reason, ": the smallest weights of each layer go, and the others stay as they are"));
  }
  return method;
}

/// A layer, what became of it, and how many zeros it gets.
struct Work {
  PrunableLayer layer;
  std::string label;                         // of its first node
  Tensor weights;                            // double [groups, rows, n] as they were
  ColumnGroups groups;                       // of N:M
  int64_t num_zeros = 0;
};

/// Of the sums over the data that one layer needs.
double sum_bytes(const Work& work) {
  const double columns = static_cast<double>(work.layer.inputs * work.layer.taps), rows = static_cast<double>(work.layer.rows);
  return 8.0 * static_cast<double>(work.layer.groups) * columns * (columns + rows);
}

class Pruner {
 public:
  Pruner(Graph& graph, const PruneWeightsOptions& options, PassContext& context)
      : graph_(graph), original_(graph), options_(options), context_(context), method_(method_of(graph, options, context)) {}

  void run();

 private:
  void take_layers();
  bool is_fit_sure() const;
  void leave_to_training();
  void count_zeros();
  bool is_done() const;
  double trial(const std::vector<std::pair<const Work*, Tensor>>& replaced) const;
  LayerProblem trial_problem(const Work& work, int64_t num_zeros) const;
  struct Curve {
    LossCurve loss;
    double scale = 1;
  };
  std::vector<Curve> curves() const;
  std::vector<int64_t> best_counts(int64_t total);
  std::vector<std::vector<Work*>> stages();
  void prune_stage(const std::vector<Work*>& stage);
  std::map<NodeId, LayerSums> sums_of(const std::vector<Work*>& stage, const Dataset& data) const;
  LayerProblem problem_of(const Work& work, const std::map<NodeId, LayerSums>& sums) const;
  SumAims aims_of(const std::vector<Work*>& stage) const;
  void apply(const Work& work, const LayerSolution& solution, const std::map<NodeId, LayerSums>& sums);

  Graph& graph_;
  const Graph original_;
  const PruneWeightsOptions& options_;
  PassContext& context_;
  Method method_;
  std::vector<Work> works_;
  bool is_left_to_training_ = false;         // what is kept matters, its values do not
  std::set<NodeId> done_;                    // nodes whose weights are pruned
  SumAims aims_;                             // of the stage
  std::map<NodeId, LayerSums> first_sums_;   // of the original model, while zeros are shared out
};

int64_t zeros_in(const Tensor& x) { return (x == 0).sum().item<int64_t>(); }

void Pruner::take_layers() {
  // what stays dense must stay small beside what is left of the others
  const double least_share = std::min(kLeastShare, kLeastShare * (1 - method_.sparsity) / 0.3);
  const LayerLimits limits{.least_share = least_share, .keeps_last = method_.pattern.of == 0 && method_.sparsity > 0.5};
  for (PrunableLayer& layer : prunable_layers(graph_, limits, context_)) {
    Work work{.layer = std::move(layer), .label = {}, .weights = {}};
    work.label = graph_.label(work.layer.readers[0].view.node);
    work.weights = layer_rows(graph_, work.layer);
    work.num_zeros = zero_count(work.layer.size(), method_.sparsity);
    if (method_.pattern.of > 0) {
      work.groups = column_groups(work.layer.inputs, work.layer.taps, method_.pattern.of);
      const Tensor rows = work.weights.reshape({-1, work.weights.size(2)});
      const Tensor mask = pattern_mask(rows.abs(), work.groups, method_.pattern.kept);
      work.num_zeros = (~mask).sum().item<int64_t>();
      if (!rows.masked_select(~mask).any().item<bool>()) {
        context_.report.skip(work.label, "its weights have that pattern already, or too few inputs for it");
        continue;
      }
    }
    works_.push_back(std::move(work));
  }
}

/// Most weights lie in layers that the calibration data tell much more about than there is to fit.
bool Pruner::is_fit_sure() const {
  const KnownSizes sizes = sizes_of_one(original_, context_.calibration);
  const auto samples = static_cast<double>(context_.calibration->num_samples());
  double sure = 0, all = 0;
  for (const Work& work : works_) {
    const auto found = sizes.find(original_.node(work.layer.readers[0].view.node).outputs[0]);
    const double outputs = found == sizes.end() ? 0 : static_cast<double>(c10::multiply_integers(found->second));
    const double rows = samples * outputs / static_cast<double>(work.layer.groups * work.layer.rows);
    const auto size = static_cast<double>(work.layer.size());
    if (rows >= kSureRows * static_cast<double>(work.layer.inputs * work.layer.taps)) sure += size;
    all += size;
  }
  return sure >= all / 2;
}

/// Training finds better values than a fit to few rows, and starts better from the largest weights as they are.
void Pruner::leave_to_training() {
  const bool is_open = context_.trains_next && method_.pattern.of == 0 && options_.importance == Importance::automatic && !options_.refit;
  if (!is_open || (method_.has_sums && is_fit_sure())) return;
  method_ = {.importance = Importance::magnitude, .pattern = method_.pattern, .sparsity = method_.sparsity};
  is_left_to_training_ = true;
  context_.report.notes.push_back("N3014: the calibration data are too few for a fit, and the next step trains: the largest weights of all layers are kept as they are");
}

/// Squared error of all outputs over their variance, each output by itself.
double output_change(const RunValues& now, const RunValues& before) {
  double sum = 0;
  for (size_t i = 0; i < now.size(); ++i) {
    if (!now[i].tensor.defined() || !at::isFloatingType(now[i].tensor.scalar_type()) || now[i].tensor.numel() == 0) continue;
    const Tensor was = before[i].tensor.to(at::kDouble);
    const double spread = (was - was.mean()).square().mean().item<double>();
    if (spread > 0 && now[i].tensor.sizes() == was.sizes()) sum += (now[i].tensor.to(at::kDouble) - was).square().mean().item<double>() / spread;
  }
  return sum;
}

/// How far the outputs of the model move when these layers are replaced and their biases take the mean errors.
double Pruner::trial(const std::vector<std::pair<const Work*, Tensor>>& replaced) const {
  Graph graph = original_;
  for (const auto& [work, weights] : replaced) {
    set_layer_rows(graph, work->layer, weights);
    for (const LayerReader& reader : work->layer.readers) {
      const auto found = first_sums_.find(reader.view.node);
      if (found == first_sums_.end() || !work->layer.can_shift()) continue;
      const Tensor mean = found->second.sums / static_cast<double>(found->second.count);
      shift_outputs(graph, reader, at::bmm(work->weights - weights, mean.unsqueeze(2)).reshape({-1}));
    }
  }
  const Executor before(original_), now(graph);
  const Dataset few = context_.calibration->head(kTrialSamples);
  double sum = 0;
  for (int64_t i = 0; i < few.num_batches(); ++i) {
    const Dataset::Batch batch = few.batch(i);
    sum += output_change(now.run(batch.inputs), before.run(batch.inputs));
  }
  return sum / static_cast<double>(few.num_batches());
}

LayerProblem Pruner::trial_problem(const Work& work, int64_t num_zeros) const {
  LayerProblem problem = problem_of(work, first_sums_);
  problem.refit = false;
  problem.num_zeros = num_zeros;
  return problem;
}

/// Relative errors by sparsity, and how much the outputs of the model move for one unit of it.
std::vector<Pruner::Curve> Pruner::curves() const {
  std::vector<Curve> found(works_.size());
  parallel_for(static_cast<int64_t>(works_.size()), [&](int64_t i) {
    const Work& work = works_[static_cast<size_t>(i)];
    Curve& curve = found[static_cast<size_t>(i)];
    curve.loss = {{0}, {0}};
    for (const double level : kLevels) {
      const LayerProblem problem = trial_problem(work, zero_count(work.layer.size(), level));
      curve.loss.zeros.push_back(problem.num_zeros);
      curve.loss.loss.push_back(problem.gram.defined() ? solve_layer(problem).relative_error : level);
    }
    curve.loss.zeros.push_back(work.layer.size());
    curve.loss.loss.push_back(std::max(1.0, curve.loss.loss.back()));
    const LayerProblem problem = trial_problem(work, work.num_zeros);
    if (!problem.gram.defined()) return;
    const LayerSolution solution = solve_layer(problem);
    if (solution.relative_error > 0) curve.scale = trial({{&work, solution.weights}}) / solution.relative_error;
  });
  return found;
}

/// Of several ways to share the zeros, the one that moves the outputs least when all layers are pruned with it.
std::vector<int64_t> Pruner::best_counts(int64_t total) {
  std::vector<Work*> all;
  std::vector<std::vector<int64_t>> candidates(1);
  for (Work& work : works_) {
    all.push_back(&work);
    candidates[0].push_back(work.num_zeros);
  }
  double bytes = 0;
  for (const Work& work : works_) bytes += sum_bytes(work);
  if (bytes > kMostBytes) {
    context_.report.notes.push_back("N3011: the layers are too large to be compared with each other: all get the same share of zeros");
    return candidates[0];
  }
  first_sums_ = sums_of(all, context_.calibration->head(kCurveSamples));
  const auto known = curves();
  for (const double power : {0.0, 0.5, 1.0}) {
    std::vector<LossCurve> scaled;
    for (const Curve& curve : known) {
      scaled.push_back(curve.loss);
      for (double& loss : scaled.back().loss) loss *= std::pow(curve.scale, power);
    }
    candidates.push_back(allocate_zeros(scaled, total));
  }
  std::vector<double> changes;
  for (const auto& counts : candidates) {
    std::vector<std::pair<const Work*, Tensor>> replaced(works_.size());
    parallel_for(static_cast<int64_t>(works_.size()), [&](int64_t i) {
      const auto index = static_cast<size_t>(i);
      const LayerProblem problem = trial_problem(works_[index], counts[index]);
      replaced[index] = {&works_[index], problem.gram.defined() ? solve_layer(problem).weights : problem.weights};
    });
    changes.push_back(trial(replaced));
  }
  first_sums_.clear();
  return candidates[static_cast<size_t>(std::min_element(changes.begin(), changes.end()) - changes.begin())];
}

void Pruner::count_zeros() {
  if (method_.pattern.of > 0 || works_.empty()) return;
  int64_t total = 0;
  std::vector<Tensor> scores;
  for (const Work& work : works_) total += work.layer.size();
  total = zero_count(total, method_.sparsity);
  std::vector<int64_t> counts;
  const bool is_shared = options_.allocation == Allocation::automatic;
  if (options_.scope == Scope::global || (is_shared && is_left_to_training_)) {
    for (const Work& work : works_) scores.push_back(lamp_scores(work.weights));
    for (const Tensor& mask : lowest_masks(scores, total)) counts.push_back((~mask).sum().item<int64_t>());
  } else if (is_shared && method_.has_sums && works_.size() > 1) {
    counts = best_counts(total);
  }
  for (size_t i = 0; i < counts.size(); ++i) works_[i].num_zeros = counts[i];
}

/// Layers that read one value stand together; consecutive ones share a stage.
std::vector<std::vector<Work*>> Pruner::stages() {
  std::vector<std::vector<Work*>> parts;
  for (Work& work : works_) {
    const bool is_same = !parts.empty() && parts.back().back()->layer.readers[0].view.input == work.layer.readers[0].view.input;
    if (!is_same) parts.emplace_back();
    parts.back().push_back(&work);
  }
  double bytes = 0;
  for (const Work& work : works_) bytes += sum_bytes(work);
  const size_t wanted = method_.has_sums ? std::max(kStages, static_cast<size_t>(2 * bytes / kMostBytes)) : 1;
  const size_t count = std::min(parts.size(), wanted);
  std::vector<std::vector<Work*>> joined(count);
  for (size_t i = 0; i < parts.size(); ++i) {
    auto& stage = joined[i * count / parts.size()];
    stage.insert(stage.end(), parts[i].begin(), parts[i].end());
  }
  return joined;
}

std::map<NodeId, LayerSums> Pruner::sums_of(const std::vector<Work*>& stage, const Dataset& data) const {
  std::vector<LinearView> views;
  for (const Work* work : stage) {
    for (const LayerReader& reader : work->layer.readers) views.push_back(reader.view);
  }
  return collect_layer_sums(original_, graph_, views, data, context_.seed, context_.progress, aims_);
}

/// Nodes that make up for what the stream of a residual network lost before; of two pruned branches, the one that is pruned last.
SumAims Pruner::aims_of(const std::vector<Work*>& stage) const {
  std::set<NodeId> open;
  for (const Work& work : works_) {
    for (const LayerReader& reader : work.layer.readers) open.insert(reader.view.node);
  }
  for (const NodeId node : done_) open.erase(node);
  SumAims aims;
  for (const Work* work : stage) {
    if (!work->layer.can_shift()) continue;
    for (const LayerReader& reader : work->layer.readers) {
      FittedNode fitted{.edited = reader.view, .original = reader.view};
      aim_at_sum(graph_, original_, fitted);
      if (fitted.beside == ValueId::absent) continue;
      const auto producer = graph_.producer(fitted.beside);
      if (!producer || !open.contains(*producer)) aims[reader.view.node] = {fitted.sum, fitted.beside};
    }
  }
  return aims;
}

Tensor centred(const Tensor& products, const Tensor& left, const Tensor& right, int64_t count) {
  return products - left.unsqueeze(2) * right.unsqueeze(1) / static_cast<double>(count);
}

LayerProblem Pruner::problem_of(const Work& work, const std::map<NodeId, LayerSums>& sums) const {
  LayerProblem problem{.weights = work.weights, .wanted = work.weights, .num_zeros = work.num_zeros, .importance = method_.importance, .refit = method_.refit};
  if (method_.pattern.of > 0) {
    problem.pattern = &work.groups;
    problem.num_kept = method_.pattern.kept;
  }
  const bool can_shift = work.layer.can_shift() && method_.makes_up;
  Tensor targets;
  bool has_targets = method_.makes_up;
  for (const LayerReader& reader : work.layer.readers) {
    const auto found = sums.find(reader.view.node);
    if (found == sums.end()) continue;
    const LayerSums& one = found->second;
    const Tensor gram = can_shift ? centred(one.products, one.sums, one.sums, one.count) : one.products;
    const Tensor cross = (can_shift ? centred(one.targets, one.target_sums, one.sums, one.count) : one.targets) / reader.alpha;
    problem.gram = problem.gram.defined() ? problem.gram + gram : gram;
    targets = targets.defined() ? targets + cross : cross;
    has_targets = has_targets && (can_shift || reader.view.kind == LinearKind::matmul);
  }
  if (!problem.gram.defined() || !has_targets) return problem;
  // W' = W + (Y X^T - W X X^T) (X X^T + lambda)^-1: the outputs that the original made, from the inputs that there are now
  problem.wanted = work.weights.clone();
  for (int64_t group = 0; group < problem.gram.size(0); ++group) {
    const Tensor rest = targets[group] - at::mm(work.weights[group], problem.gram[group]);
    problem.wanted[group].add_(solve_damped(problem.gram[group], rest.t()).t());
  }
  return problem;
}

void Pruner::apply(const Work& work, const LayerSolution& solution, const std::map<NodeId, LayerSums>& sums) {
  set_layer_rows(graph_, work.layer, solution.weights);
  for (const LayerReader& reader : work.layer.readers) {
    const auto found = sums.find(reader.view.node);
    if (found != sums.end() && work.layer.can_shift() && method_.makes_up) {
      const double count = static_cast<double>(found->second.count);
      const Tensor mean = found->second.sums / count;                                             // [groups, in]
      const Tensor made = at::bmm(solution.weights, mean.unsqueeze(2)).reshape({-1});
      Tensor target = found->second.target_sums.reshape({-1}) / count;
      // a sum holds the bias of the Add in front of it as well
      if (reader.bias_node == reader.view.node || aims_.contains(reader.view.node)) target = target - reader_bias(original_, reader) * reader.beta;
      shift_outputs(graph_, reader, target / reader.alpha - made);
    }
    Json metrics = {{"sparsity", static_cast<double>(zeros_in(solution.weights)) / static_cast<double>(work.layer.size())},
                    {"zeros", zeros_in(solution.weights)},
                    {"method", cat(names(method_.importance)[static_cast<size_t>(method_.importance)], method_.refit ? " + refit" : "")}};
    if (found != sums.end()) {
      metrics["relative_error"] = solution.relative_error;
      metrics["lambda"] = solution.record.lambda;
      metrics["attempts"] = solution.record.attempts;
      metrics["condition"] = solution.record.condition;
      metrics["dead_inputs"] = work.weights.size(0) * work.weights.size(2) - solution.record.num_live;
    }
    context_.report.change(graph_.label(reader.view.node), std::move(metrics));
  }
}

void Pruner::prune_stage(const std::vector<Work*>& stage) {
  if (method_.makes_up) aims_ = aims_of(stage);
  const auto sums = method_.has_sums ? sums_of(stage, *context_.calibration) : std::map<NodeId, LayerSums>{};
  std::vector<LayerSolution> solutions(stage.size());
  parallel_for(static_cast<int64_t>(stage.size()), [&](int64_t i) {
    const auto index = static_cast<size_t>(i);
    const LayerProblem problem = problem_of(*stage[index], sums);
    if (problem.gram.defined() || !method_.has_sums) solutions[index] = solve_layer(problem);
  });
  for (size_t i = 0; i < stage.size(); ++i) {
    if (solutions[i].weights.defined()) apply(*stage[i], solutions[i], sums);
    else context_.report.skip(stage[i]->label, "the calibration data never reaches it");
    for (const LayerReader& reader : stage[i]->layer.readers) done_.insert(reader.view.node);
    context_.progress.advance();
  }
}

bool Pruner::is_done() const {
  int64_t wanted = 0, found = 0;
  for (const Work& work : works_) {
    wanted += method_.pattern.of > 0 ? work.layer.size() : zero_count(work.layer.size(), method_.sparsity);
    found += zeros_in(work.weights);
  }
  return found >= wanted;
}

void Pruner::run() {
  take_layers();
  if (is_done()) {
    for (const Work& work : works_) context_.report.skip(work.label, "it has that many zeros already");
    return;
  }
  context_.progress.start("prune", static_cast<int64_t>(works_.size()));
  context_.report.may_regrow = context_.trains_next && method_.pattern.of == 0;
  leave_to_training();
  count_zeros();
  for (const auto& stage : stages()) prune_stage(stage);
  if (method_.refit) settle_batch_norm(graph_, original_, context_);
}

}  // namespace

void PruneWeightsOptions::validate() const {
  const auto read = read_pattern(pattern);
  if (!read) throw UsageError("E2005", cat("option 'pattern' is '", printable(pattern), "'; needed unstructured or N:M with N below M, as 2:4"));
  if (read->of > 0 && sparsity && std::fabs(*sparsity - wanted_sparsity(*this)) > 1e-9) {
    throw UsageError("E2013", cat("pattern ", pattern, " means a sparsity of ", wanted_sparsity(*this), ", not ", *sparsity), {.help = "leave the sparsity out"});
  }
}

Needs PruneWeightsOptions::needs() const {
  return {.calibration = importance == Importance::wanda || importance == Importance::sparse_gpt || refit.value_or(false)};
}

void prune_weights(Graph& graph, const PruneWeightsOptions& options, PassContext& context) { Pruner(graph, options, context).run(); }

}  // namespace niwaki
