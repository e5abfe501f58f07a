#include "passes/train/feature_plan.h"

#include "compress/error.h"
#include "passes/train/feature_sums.h"
#include "passes/train/pair_attention.h"
#include "passes/train/propose_pairs.h"

#include <cmath>
#include <cstdio>

namespace niwaki {
namespace {

FeaturePlan plan_attention(const std::vector<AttentionPair>& pairs) {
  FeaturePlan plan;
  for (const AttentionPair& pair : pairs) {
    plan.terms.push_back({.values = {pair.student.shares, pair.teacher.shares}, .loss = FeatureLoss::attention});
    plan.terms.push_back({.values = {pair.student.values, pair.teacher.values}, .loss = FeatureLoss::attention, .is_relation = true});
  }
  return plan;
}

/// Pairs that were named, of attention: with the values behind the shares.
std::vector<AttentionPair> named_attention(const std::vector<LayerPair>& named, const Graph& student, const Graph& teacher, const Dataset& data) {
  const auto own = find_attention(student, student, data), others = find_attention(teacher, student, data);
  const auto find = [](const std::vector<AttentionValues>& all, const Graph& graph, ValueId id) {
    const auto found = std::find_if(all.begin(), all.end(), [&](const AttentionValues& one) { return one.shares == id; });
    if (found != all.end()) return *found;
    throw UsageError("E3322", cat("'", printable(graph.value(id).name), "' is no result of a Softmax over [N, heads, queries, keys]"), {.help = "pair results of Softmax nodes for --features attention"});
  };
  std::vector<AttentionPair> pairs;
  for (const LayerPair& pair : named) pairs.push_back({find(own, student, pair.student), find(others, teacher, pair.teacher)});
  return pairs;
}

FeaturePlan plan_of(const std::vector<MeasuredPair>& pairs, FeatureLoss loss) {
  FeaturePlan plan;
  for (const MeasuredPair& pair : pairs) {
    FeatureTerm term{.values = pair.values, .loss = loss, .variance = pair.variance, .scale = pair.scale, .cka = pair.cka};
    if (loss == FeatureLoss::features && pair.projector.defined()) {
      term.projector = plan.projectors.size();
      plan.projectors.push_back(pair.projector);
    }
    plan.terms.push_back(term);
  }
  return plan;
}

std::string row(const FeatureTerm& term, const Graph& student, const Graph& teacher) {
  std::string text = cat(printable(student.value(term.values.student).name), " = ", printable(teacher.value(term.values.teacher).name));
  char alignment[32];
  if (term.cka) std::snprintf(alignment, sizeof alignment, " (cka %.2f)", *term.cka);
  return term.cka ? text + alignment : text;
}

/// The table of pairs, before training and in the report.
void tell(const FeaturePlan& plan, const Graph& student, const Graph& teacher, PassContext& context) {
  std::string text;
  for (const FeatureTerm& term : plan.terms) {
    if (!term.is_relation) text += cat(text.empty() ? "" : ", ", row(term, student, teacher));
  }
  context.report.notes.push_back(cat("N3034: compared inside: ", text));
  context.progress.start("pair layers", 1);
  context.progress.note(text);
  context.progress.advance();
}

/// In units of deviations the numbers of a projector are of the size that optimizers expect: with others it would hardly move,
/// and hold the student where it is.
Tensor projected(const FeatureTerm& term, const Tensor& own, const Tensor& projector) {
  const double unit = term.variance > 0 ? std::sqrt(term.variance) : 1;
  return project(own / term.scale, projector) * unit;
}

}  // namespace

FeaturePlan plan_features(const Graph& student, const Graph& teacher, const DistillOptions& options, PassContext& context) {
  const Dataset& data = *context.training;
  const bool only_maps = options.features == FeatureLoss::attention_map;
  std::vector<LayerPair> pairs = named_pairs(options.pairs, student, teacher);
  FeaturePlan plan;
  if (options.features == FeatureLoss::off) return plan;
  if (options.features == FeatureLoss::attention) {
    plan = plan_attention(pairs.empty() ? pair_attention(student, teacher, data) : named_attention(pairs, student, teacher, data));
  } else {
    if (pairs.empty()) pairs = pair_by_name(student, teacher);
    plan = plan_of(pairs.empty() ? propose_pairs(student, teacher, data, only_maps, context.progress) : measure_pairs(student, teacher, pairs, data, context.progress), options.features);
  }
  if (plan.terms.empty()) context.report.notes.push_back("N3035: nothing inside the two models can be compared: only the outputs count");
  else tell(plan, student, teacher, context);
  return plan;
}

LossSum feature_loss(const FeatureTerm& term, const Tensor& own, const Tensor& wanted, std::span<const Tensor> extra) {
  switch (term.loss) {
    case FeatureLoss::attention_map: return attention_map(own, wanted);
    case FeatureLoss::similarity: return similarity(own, wanted);
    case FeatureLoss::attention: return term.is_relation ? value_relations(own, wanted) : attention_rows(own, wanted);
    default: return feature_mse(term.projector ? projected(term, own, extra[*term.projector]) : own, wanted, term.variance);
  }
}

std::string loss_name(const FeatureTerm& term) {
  return term.is_relation ? "value_relations" : names(FeatureLoss{})[static_cast<size_t>(term.loss)];
}

}  // namespace niwaki
