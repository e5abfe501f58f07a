#include "passes/train/lesson.h"

#include "compress/error.h"
#include "passes/train/pair_layers.h"

namespace niwaki {
namespace {

constexpr int64_t kCacheBytes = int64_t{1} << 29;
constexpr double kDerived = 0.5;             // share of namesakes, and of equal answers, from which on a student was made from its teacher
constexpr int64_t kComparedSamples = 128;
constexpr double kTemperature = 4, kAlpha = 0.9;

}  // namespace

std::vector<Lesson::AnswerPair> Lesson::pair_answers(const Graph& student, const Graph& teacher) {
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

AnswerLoss Lesson::loss_of(const AnswerPair& pair, AnswerLoss wanted) {
  if (wanted != AnswerLoss::automatic) return wanted;
  if (pair.student.kind == AnswerKind::classes && pair.teacher.kind == AnswerKind::classes) return AnswerLoss::divergence;
  if (pair.student.kind == AnswerKind::shares && pair.teacher.kind == AnswerKind::shares) return AnswerLoss::shares;
  return AnswerLoss::mse;
}

Lesson::Lesson(const Graph& graph, const Graph& named, const DistillOptions& options, PassContext& context)
    : graph_(graph), teacher_graph_(*context.teacher), options_(options), pairs_(pair_answers(graph, *context.teacher)) {
  const bool is_derived = share_of_namesakes(named, teacher_graph_) >= kDerived && agreement(*context.training) >= kDerived;
  temperature_ = options.temperature > 0 ? options.temperature : is_derived ? 1 : kTemperature;
  if (context.training->has_labels()) labels_ = label_target(graph, pairs_[0].student, LabelLoss::automatic, *context.training);
  alpha_ = labels_ ? options.alpha.value_or(kAlpha) : 1;
  features_ = plan_features(graph, teacher_graph_, options, context);
  teacher_.emplace(teacher_graph_, graph, teacher_values());
  const TrainerOptions plan = options.trainer(context);
  const bool sees_all = plan.steps == 0 || plan.steps * plan.batch >= context.training->num_samples();
  if (sees_all && !plan.augment.is_on()) teacher_->remember(*context.training, kCacheBytes, context.progress, context.group);
}

std::vector<ValueId> Lesson::watched() const {
  std::vector<ValueId> values;
  for (const AnswerPair& pair : pairs_) values.push_back(pair.student.scores);
  for (const FeatureTerm& term : features_.terms) values.push_back(term.values.student);
  return values;
}

std::vector<ValueId> Lesson::teacher_values() const {
  std::vector<ValueId> values;
  for (const AnswerPair& pair : pairs_) values.push_back(pair.teacher.scores);
  for (const FeatureTerm& term : features_.terms) values.push_back(term.values.teacher);
  return values;
}

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
  const auto& terms = features_.terms;
  for (size_t k = 0; k < terms.size(); ++k) {
    const size_t place = pairs_.size() + k;
    include(per_sample(feature_loss(terms[k], shard.values[first + place], wanted[place], shard.extra)), options_.feature_weight / static_cast<double>(terms.size()));
  }
  return {sum, samples};
}

std::string Lesson::describe() const {
  std::ostringstream text;
  text << names(AnswerLoss{})[static_cast<size_t>(loss_of(pairs_[0], options_.loss))] << " at temperature " << temperature_ << ", alpha " << alpha_;
  const auto& terms = features_.terms;
  if (!terms.empty()) text << ", " << names(FeatureLoss{})[static_cast<size_t>(options_.features)] << " of " << terms.size() << " inner values, weight " << options_.feature_weight;
  return text.str();
}

Json Lesson::table() const {
  Json rows = Json::array();
  for (const AnswerPair& pair : pairs_) {
    rows.push_back({{"student", graph_.value(pair.student.scores).name}, {"teacher", teacher_graph_.value(pair.teacher.scores).name}, {"loss", names(AnswerLoss{})[static_cast<size_t>(loss_of(pair, options_.loss))]}});
  }
  for (const FeatureTerm& term : features_.terms) {
    Json row = {{"student", graph_.value(term.values.student).name}, {"teacher", teacher_graph_.value(term.values.teacher).name}, {"loss", loss_name(term)}};
    if (term.cka) row["cka"] = *term.cka;
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace niwaki
