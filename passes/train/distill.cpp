#include "passes/train/distill.h"

#include "compress/error.h"
#include "passes/train/answers.h"
#include "passes/train/label_loss.h"
#include "passes/train/pair_layers.h"
#include "passes/train/teacher.h"
#include "passes/train/train_graph.h"
#include "passes/train/train_quantized.h"

namespace niwaki {
namespace {

constexpr int64_t kCacheBytes = int64_t{1} << 29;
constexpr double kDerived = 0.5;             // share of namesakes, and of equal answers, from which on a student was made from its teacher
constexpr int64_t kComparedSamples = 128;
constexpr double kTemperature = 4, kAlpha = 0.9;

struct AnswerPair {
  Answer student, teacher;
};

std::vector<AnswerPair> pair_answers(const Graph& student, const Graph& teacher) {
  const std::vector<Answer> own = find_answers(student), others = find_answers(teacher);
  if (own.empty()) throw UnsupportedError("E3320", "the model has no float output to train on");
  std::vector<AnswerPair> pairs;
  for (size_t i = 0; i < own.size(); ++i) {
    const auto is_namesake = [&](const Answer& other) { return teacher.value(other.output).name == student.value(own[i].output).name; };
    const auto found = std::find_if(others.begin(), others.end(), is_namesake);
    if (found != others.end()) pairs.push_back({own[i], *found});
    else if (own.size() == others.size() || (i == 0 && !others.empty())) pairs.push_back({own[i], others[i]});
  }
  if (pairs.empty()) throw UsageError("E3322", "the teacher has no float output to learn from");
  return pairs;
}

AnswerLoss loss_of(const AnswerPair& pair, AnswerLoss wanted) {
  if (wanted != AnswerLoss::automatic) return wanted;
  if (pair.student.kind == AnswerKind::classes && pair.teacher.kind == AnswerKind::classes) return AnswerLoss::divergence;
  if (pair.student.kind == AnswerKind::shares && pair.teacher.kind == AnswerKind::shares) return AnswerLoss::shares;
  return AnswerLoss::mse;
}

/// All that the loss reads, made once; used by several threads.
class Lesson {
 public:
  /// `named`: the graph whose names say whether the teacher is its origin.
  Lesson(const Graph& graph, const Graph& named, const DistillOptions& options, PassContext& context)
      : graph_(graph), teacher_graph_(*context.teacher), pairs_(pair_answers(graph, *context.teacher)),
        options_(options) {
    is_derived_ = share_of_namesakes(named, teacher_graph_) >= kDerived && agreement(*context.training) >= kDerived;
    temperature_ = options.temperature > 0 ? options.temperature : is_derived_ ? 1 : kTemperature;
    if (context.training->has_labels()) labels_ = label_target(graph, pairs_[0].student, LabelLoss::automatic, *context.training);
    alpha_ = labels_ ? options.alpha.value_or(kAlpha) : 1;
    features_ = options.features;
    if (features_ != FeatureLoss::off) layers_ = pair_by_name(graph, teacher_graph_);
    teacher_.emplace(teacher_graph_, graph, teacher_values());
    const TrainerOptions plan = options.trainer(context);
    const bool sees_all = plan.steps == 0 || plan.steps * plan.batch >= context.training->num_samples();
    if (sees_all && !plan.augment.is_on()) teacher_->remember(*context.training, kCacheBytes, context.progress, context.group);
  }

  std::vector<ValueId> watched() const {
    std::vector<ValueId> values;
    for (const AnswerPair& pair : pairs_) values.push_back(pair.student.scores);
    for (const LayerPair& layer : layers_) values.push_back(layer.student);
    return values;
  }
  bool couples_samples() const { return options_.loss == AnswerLoss::correlation || features_ == FeatureLoss::similarity; }
  LossSum operator()(const Shard& shard) const;
  std::string describe() const;
  Json table() const;

 private:
  std::vector<ValueId> teacher_values() const {
    std::vector<ValueId> values;
    for (const AnswerPair& pair : pairs_) values.push_back(pair.teacher.scores);
    for (const LayerPair& layer : layers_) values.push_back(layer.teacher);
    return values;
  }
  double agreement(const Dataset& data) const;
  LossSum answer_loss(const AnswerPair& pair, const Tensor& own, const Tensor& wanted) const;
  LossSum layer_loss(const Tensor& own, const Tensor& wanted) const;

  const Graph &graph_, &teacher_graph_;
  std::vector<AnswerPair> pairs_;
  std::vector<LayerPair> layers_;
  std::optional<LabelTarget> labels_;
  bool is_derived_ = false;
  double temperature_ = 1, alpha_ = 1;
  FeatureLoss features_ = FeatureLoss::off;
  DistillOptions options_;
  std::optional<Teacher> teacher_;
};

/// Share of samples, before any training, to which student and teacher give the same class; 1 where they give no classes.
double Lesson::agreement(const Dataset& data) const {
  if (loss_of(pairs_[0], AnswerLoss::automatic) != AnswerLoss::divergence) return 1;
  const Executor student(graph_, {.until = {pairs_[0].student.scores}});
  const Teacher teacher(teacher_graph_, graph_, {pairs_[0].teacher.scores});
  const Dataset some = data.head(kComparedSamples);
  const auto classes = [](const Tensor& scores) { return scores.argmax(scores.dim() == 3 ? -1 : 1); };
  double equal = 0, all = 0;
  for (int64_t i = 0; i < some.num_batches(); ++i) {
    const Dataset::Batch batch = some.batch(i);
    std::vector<int64_t> samples(static_cast<size_t>(batch.count));
    const Shard shard{batch.inputs, {}, samples, false, {}, {}};
    const Tensor own = classes(shard.rows(student.run(batch.inputs)[0].tensor)), wanted = classes(teacher.answers(shard)[0]);
    if (own.sizes() != wanted.sizes()) return 0;
    equal += own.eq(wanted).sum().item<double>();
    all += static_cast<double>(own.numel());
  }
  return all > 0 ? equal / all : 0;
}

LossSum Lesson::answer_loss(const AnswerPair& pair, const Tensor& own, const Tensor& wanted) const {
  switch (loss_of(pair, options_.loss)) {
    case AnswerLoss::divergence: return distillation(own, wanted, temperature_);
    case AnswerLoss::standardised: return standardised_distillation(own, wanted, temperature_);
    case AnswerLoss::correlation: return correlation(own, wanted, temperature_);
    case AnswerLoss::shares: return binary_distillation(own, wanted);
    default: return feature_mse(own, wanted);
  }
}

LossSum Lesson::layer_loss(const Tensor& own, const Tensor& wanted) const {
  if (features_ == FeatureLoss::attention_map) return attention_map(own, wanted);
  return features_ == FeatureLoss::similarity ? similarity(own, wanted) : feature_mse(own, wanted);
}

/// Terms count samples or positions of their own: each becomes a mean first, so that none outweighs the others by its size.
LossSum Lesson::operator()(const Shard& shard) const {
  const std::vector<Tensor> wanted = teacher_->answers(shard);
  const size_t first = graph_.main().outputs.size();
  const auto samples = static_cast<double>(shard.samples.size());
  const auto per_sample = [&](const LossSum& term) { return term.sum * (term.weight > 0 ? samples / term.weight : 0); };
  Tensor sum;
  const auto include = [&](const Tensor& term, double share) { sum = sum.defined() ? sum + term * share : term * share; };
  for (size_t i = 0; i < pairs_.size(); ++i) include(per_sample(answer_loss(pairs_[i], shard.values[first + i], wanted[i])), alpha_);
  if (labels_ && alpha_ < 1) include(per_sample(label_loss(*labels_, shard.values[first], shard)), 1 - alpha_);
  for (size_t k = 0; k < layers_.size(); ++k) {
    const size_t place = pairs_.size() + k;
    include(per_sample(layer_loss(shard.values[first + place], wanted[place])), options_.feature_weight / static_cast<double>(layers_.size()));
  }
  return {sum, samples};
}

std::string Lesson::describe() const {
  std::ostringstream text;
  text << names(AnswerLoss{})[static_cast<size_t>(loss_of(pairs_[0], options_.loss))] << " at temperature " << temperature_ << ", alpha " << alpha_;
  if (!layers_.empty()) text << ", " << names(FeatureLoss{})[static_cast<size_t>(features_)] << " of " << layers_.size() << " inner values, weight " << options_.feature_weight;
  return text.str();
}

Json Lesson::table() const {
  Json rows = Json::array();
  for (const AnswerPair& pair : pairs_) {
    rows.push_back({{"student", graph_.value(pair.student.scores).name}, {"teacher", teacher_graph_.value(pair.teacher.scores).name}, {"loss", names(AnswerLoss{})[static_cast<size_t>(loss_of(pair, options_.loss))]}});
  }
  for (const LayerPair& layer : layers_) {
    rows.push_back({{"student", graph_.value(layer.student).name}, {"teacher", teacher_graph_.value(layer.teacher).name}, {"loss", names(FeatureLoss{})[static_cast<size_t>(features_)]}});
  }
  return rows;
}

}  // namespace

void DistillOptions::validate() const {
  require_quantization();
  if (features == FeatureLoss::off && feature_weight != 1) throw UsageError("E2013", "feature_weight counts only where features are compared", {.help = "leave feature_weight out, or features on"});
}

namespace {

void distill_floats(Graph& graph, const Graph& named, const DistillOptions& options, PassContext& context) {
  const Graph student = graph;               // the trainer writes into `graph` while the lesson reads
  const auto lesson = std::make_shared<Lesson>(student, named, options, context);
  Training training = training_of(graph, lesson->watched(), options, context);
  training.loss = [lesson](const Shard& shard) { return (*lesson)(shard); };
  training.couples_samples = lesson->couples_samples();
  training.identity = cat("distill ", lesson->describe());
  context.report.notes.push_back(cat("N3032: learned from the teacher by ", lesson->describe()));
  train_and_report(graph, training, options, context);
  context.report.details["pairs"] = lesson->table();
}

}  // namespace

void distill(Graph& graph, const DistillOptions& options, PassContext& context) {
  if (context.teacher == nullptr) throw UsageError("E2014", "distillation needs a teacher", {.help = "give --teacher MODEL"});
  const Graph named = graph;
  if (!options.qat) return distill_floats(graph, named, options, context);
  train_quantized(graph, options, context, [&](Graph& twin, PassContext& inner) { distill_floats(twin, named, options, inner); });
}

}  // namespace niwaki
