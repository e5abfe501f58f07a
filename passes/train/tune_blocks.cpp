#include "passes/train/tune_blocks.h"

#include "compress/dataset.h"
#include "compress/error.h"
#include "compress/random.h"
#include "compress/train/sample_order.h"
#include "compress/train/shared_weights.h"
#include "compress/train/trainable.h"
#include "compress/train/trainer.h"
#include "compress/train/weight_mask.h"
#include "passes/train/block_rows.h"
#include "passes/train/find_blocks.h"
#include "passes/train/shared_cuts.h"

#include <cmath>

namespace niwaki {
namespace {

constexpr size_t kMostBlocks = 16;
constexpr int64_t kMostBytes = int64_t{512} << 20;   // of activations in memory
constexpr int64_t kFewestSamples = 2 * SampleOrder::kFewestHeldOut;
constexpr double kExact = 1e-10;             // share of the variance: rounding

Dim batch_of(const Graph& graph) {
  for (const ValueId id : graph.main().inputs) {
    const auto& shape = graph.value(id).shape;
    if (!graph.constant(id) && shape && !shape->empty() && !std::holds_alternative<std::monostate>(shape->front())) return shape->front();
  }
  return std::string("N");
}

/// What became of one block.
struct Outcome {
  bool is_kept = false;
  double before = 0, after = 0;              // of held-out samples where it was trained, else of all
  std::string reason = "";
};

class Tuner {
 public:
  Tuner(Graph& graph, const TuneBlocksOptions& options, PassContext& context) : graph_(graph), options_(options), context_(context) {}
  void run();

 private:
  bool look();
  int64_t samples_that_fit(const Rows& first) const;
  std::set<std::string> inputs_from(size_t index) const;
  RunnableBlock own_block(const Block& block) const;
  Tensor teacher_block(const Block& block) const;
  std::set<ValueId> trainable_of(const Block& block, const Graph& part) const;
  Training training_of(size_t index, const RunnableBlock& part, const Tensor& wanted) const;
  void tune(size_t index, RunnableBlock& part, const Training& training, Outcome& outcome) const;
  void take_over(const Graph& part, const std::set<ValueId>& trained);
  void report(size_t index, const Outcome& outcome, const std::set<ValueId>& trained);
  double hold_out() const;

  Graph& graph_;
  const TuneBlocksOptions& options_;
  PassContext& context_;
  Graph student_, teacher_;                  // with fixed inputs
  std::vector<Block> blocks_;
  std::map<ValueId, SharedCut> cuts_;        // by the student's value
  int64_t samples_ = 0;
  Rows inputs_;
  Tensor own_, theirs_;                      // what enters the block: from the tuned blocks before it, and the teacher's
};

/// Finds the blocks; false where nothing can be done.
bool Tuner::look() {
  const Dataset& data = *context_.calibration;
  const Given given = first_batch(graph_, data);
  const Rows first = input_rows(graph_, data, data.batch_size());
  const int64_t rows = data.is_batch_fixed() ? data.batch_size() : data.batch(0).count;
  student_ = with_fixed_inputs(graph_, given, first);
  teacher_ = with_fixed_inputs(*context_.teacher, given, first);
  const std::set<ValueId> weights = trainable_constants(student_);
  std::vector<ValueId> ends;
  for (const SharedCut& cut : shared_cuts(student_, teacher_, weights, given, rows)) {
    ends.push_back(cut.own);
    cuts_[cut.own] = cut;
  }
  blocks_ = blocks_between(student_, ends, weights, kMostBlocks);
  if (blocks_.empty()) {
    throw UsageError("E3322", "no block of the model ends in a value that its teacher has under the same name and in the same sizes",
                     {.found = cat(ends.size(), " such values"), .help = "distill trains towards the outputs alone"});
  }
  samples_ = samples_that_fit(first);
  if (samples_ < data.num_samples()) {
    context_.report.notes.push_back(cat("N3030: activations of ", data.num_samples(), " samples would take more than ", kMostBytes >> 20,
                                        " MB: the first ", samples_, " teach"));
  }
  if (samples_ >= kFewestSamples) return true;
  for (const Block& block : blocks_) {
    context_.report.skip(graph_.label(*graph_.producer(block.output)), cat(samples_, " samples are too few to hold some out: ", kFewestSamples, " are needed"));
  }
  return false;
}

/// What is in memory at most: a block's inputs and outputs of student and teacher, and inputs of the model that are still read.
int64_t Tuner::samples_that_fit(const Rows& first) const {
  int64_t most = 1, before = 0;
  for (size_t i = 0; i < blocks_.size(); ++i) {
    const int64_t behind = cuts_.at(blocks_[i].output).bytes;
    int64_t bytes = 2 * (before + behind);
    for (const std::string& name : inputs_from(i)) {
      if (first.contains(name)) bytes += static_cast<int64_t>(first.at(name).nbytes()) / first.at(name).size(0);
    }
    most = std::max(most, bytes);
    before = behind;
  }
  return std::min(context_.calibration->num_samples(), kMostBytes / most);
}

/// Inputs of the model that this block or a later one reads.
std::set<std::string> Tuner::inputs_from(size_t index) const {
  std::set<std::string> names;
  for (; index < blocks_.size(); ++index) {
    const Block& block = blocks_[index];
    const ValueId theirs = block.input == ValueId::absent ? block.input : cuts_.at(block.input).theirs;
    const Graph own = block_graph(student_, block.input, block.output), other = block_graph(teacher_, theirs, cuts_.at(block.output).theirs);
    for (const ValueId id : own.main().inputs) names.insert(own.value(id).name);
    for (const ValueId id : other.main().inputs) names.insert(other.value(id).name);
    if (block.input != ValueId::absent) names.erase(own.value(block.input).name);
  }
  return names;
}

RunnableBlock Tuner::own_block(const Block& block) const {
  Rows rows = inputs_;
  if (own_.defined()) rows[student_.value(block.input).name] = own_;
  return {block_graph(student_, block.input, block.output), block.input, batch_of(student_), rows};
}

Tensor Tuner::teacher_block(const Block& block) const {
  Rows rows = inputs_;
  if (theirs_.defined()) rows[student_.value(block.input).name] = theirs_;
  const ValueId input = block.input == ValueId::absent ? block.input : cuts_.at(block.input).theirs;
  return RunnableBlock(block_graph(teacher_, input, cuts_.at(block.output).theirs), input, batch_of(teacher_), rows).run();
}

/// Constants that nothing but this block reads.
std::set<ValueId> Tuner::trainable_of(const Block& block, const Graph& part) const {
  std::set<ValueId> found = trainable_constants(part, {block.output}, [&](NodeId id) { return is_selected(graph_, id, context_.keep, context_.only); });
  std::erase_if(found, [&](ValueId id) { return student_.consumers(id).size() != part.consumers(id).size(); });
  return found;
}

Training Tuner::training_of(size_t index, const RunnableBlock& part, const Tensor& wanted) const {
  const Block& block = blocks_[index];
  Training training{.trainable = trainable_of(block, part.graph)};
  training.masks = masks_of_zeros(part.graph, training.trainable);
  training.shared = codes_of_shared(part.graph, training.trainable);
  const double scale = variance_of(wanted) * static_cast<double>(wanted.numel()) / static_cast<double>(wanted.size(0));
  training.loss = [wanted, scale](const Shard& shard) {
    const Tensor places = at::tensor(at::ArrayRef<int64_t>(shard.samples.data(), shard.samples.size()), at::kLong);
    return LossSum{(shard.values[0] - wanted.index_select(0, places)).square().sum() / scale, static_cast<double>(shard.samples.size())};
  };
  if (!theirs_.defined() || options_.mix <= 0) return training;
  const size_t place = part.graph.main().inputs.size() - 1;
  training.replace = [teacher = theirs_, place, index, mix = options_.mix, seed = context_.seed](RunValues& inputs, std::span<const int64_t> samples, int64_t epoch) {
    const Generator generator(seed, cat("mix ", index, " ", epoch));
    std::vector<int64_t> rows, chosen;
    for (size_t i = 0; i < samples.size(); ++i) {
      if (static_cast<double>(generator.at(static_cast<uint64_t>(samples[i])) >> 11) * 0x1.0p-53 >= mix) continue;
      rows.push_back(static_cast<int64_t>(i));
      chosen.push_back(samples[i]);
    }
    if (rows.empty()) return;
    inputs[place].tensor = inputs[place].tensor.index_copy(0, at::tensor(rows, at::kLong), teacher.index_select(0, at::tensor(chosen, at::kLong)));
  };
  return training;
}

/// Enough samples that the guard has something to see.
double Tuner::hold_out() const { return std::max(options_.hold_out, (SampleOrder::kFewestHeldOut + 0.5) / static_cast<double>(samples_)); }

/// Trains a part in place. The trainer takes a state over only where the held-out samples, which enter as the tuned blocks
/// before hand them on, come out nearer to the teacher's.
void Tuner::tune(size_t index, RunnableBlock& part, const Training& training, Outcome& outcome) const {
  Progress quiet;
  const TrainerOptions options{.learning_rate = options_.lr, .weight_decay = 0, .steps = options_.steps, .batch = options_.batch,
                               .hold_out = hold_out(), .seed = context_.seed};
  try {
    const TrainReport done = train(part.graph, part.data, training, options, quiet);
    for (const std::string& note : done.notes) context_.report.notes.push_back(cat("N3030: block ", index + 1, ": ", note));
    outcome.is_kept = done.best_epoch > 0;
    outcome.before = outcome.after = done.validation_before;
    if (outcome.is_kept) outcome.after = done.epochs[static_cast<size_t>(done.best_epoch) - 1].validation;
    else outcome.reason = "no update lowered the error of held-out samples";
  } catch (const ModelError& error) {
    if (error.code() != "E3321") throw;
    outcome.reason = "its errors did not stay finite: a lower lr may help";
  }
}

void Tuner::take_over(const Graph& part, const std::set<ValueId>& trained) {
  for (const ValueId id : trained) {
    if (same_content(*graph_.constant(id), *part.constant(id))) continue;
    graph_.set_constant(id, *part.constant(id));
    student_.set_constant(id, *part.constant(id));
    context_.report.changes.emplace_back(graph_.value(id).name, "is tuned to the teacher's block");
  }
}

void Tuner::report(size_t index, const Outcome& outcome, const std::set<ValueId>& trained) {
  const Block& block = blocks_[index];
  const Json facts = {{"block", index + 1}, {"error_before", outcome.before}, {"error_after", outcome.after}};
  Json nodes = Json::array();
  for (const NodeId id : block.nodes) {
    const std::string label = graph_.label(id);
    nodes.push_back(label);
    const auto& inputs = graph_.node(id).inputs;
    const bool is_trained = std::any_of(inputs.begin(), inputs.end(), [&](ValueId input) { return trained.contains(input); });
    if (outcome.is_kept && is_trained) context_.report.change(label, facts);
    else if (is_trained) context_.report.skip(label, outcome.reason);
  }
  Json row = facts;
  row["output"] = graph_.value(block.output).name;
  row["nodes"] = nodes;
  row["kept"] = outcome.is_kept;
  if (!outcome.is_kept) row["reason"] = outcome.reason;
  context_.report.details["blocks"].push_back(row);
}

void Tuner::run() {
  if (!look()) return;
  const bool has_end = graph_.is_output(blocks_.back().output);
  inputs_ = input_rows(graph_, *context_.calibration, samples_);
  context_.progress.start("tune blocks", static_cast<int64_t>(blocks_.size()));
  context_.report.details = {{"samples", samples_}, {"blocks", Json::array()}};
  size_t kept = 0;
  for (size_t i = 0; i < blocks_.size(); ++i) {
    const std::set<std::string> needed = inputs_from(i);
    std::erase_if(inputs_, [&](const auto& one) { return !needed.contains(one.first); });
    const Tensor wanted = teacher_block(blocks_[i]);
    RunnableBlock part = own_block(blocks_[i]);
    const Training training = training_of(i, part, wanted);
    Outcome outcome{.before = error_of(part.run(), wanted)};
    outcome.after = outcome.before;
    if (training.trainable.empty()) outcome.reason = "the block holds no constant of its own that may be trained";
    else if (outcome.before < kExact) outcome.reason = "the block gives what the teacher's gives";
    else tune(i, part, training, outcome);
    if (outcome.is_kept) take_over(part.graph, training.trainable);
    report(i, outcome, training.trainable);
    kept += outcome.is_kept ? 1 : 0;
    theirs_ = wanted;
    own_ = Tensor();
    own_ = part.run();
    context_.progress.advance();
  }
  context_.report.notes.push_back(cat("N3032: ", kept, " of ", blocks_.size(), " blocks learned from the teacher's", has_end ? cat("; error of the output over its variance: ", error_of(own_, theirs_)) : ""));
}

}  // namespace

void tune_blocks(Graph& graph, const TuneBlocksOptions& options, PassContext& context) {
  if (context.calibration == nullptr) throw UsageError("E2014", "block tuning needs calibration data", {.help = "give --calib DATA"});
  if (context.teacher == nullptr) throw UsageError("E2014", "block tuning needs a teacher", {.help = "run it in a recipe behind the steps that change the model"});
  Tuner(graph, options, context).run();
}

}  // namespace niwaki
