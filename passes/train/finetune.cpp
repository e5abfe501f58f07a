#include "passes/train/finetune.h"

#include "compress/error.h"
#include "passes/train/answers.h"
#include "passes/train/label_loss.h"
#include "passes/train/train_graph.h"
#include "passes/train/train_quantized.h"

namespace niwaki {
namespace {

Answer chosen_answer(const Graph& graph, const std::string& name) {
  const std::vector<Answer> answers = find_answers(graph);
  Strings known;
  for (const Answer& answer : answers) {
    known.push_back(graph.value(answer.output).name);
    if (name.empty() || known.back() == name) return answer;
  }
  if (answers.empty()) throw UnsupportedError("E3320", "the model has no float output to train on");
  const std::string near = nearest(name, known);
  throw UsageError("E2007", cat("no output is called '", printable(name), "'"), {.help = cat("did you mean '", near.empty() ? known.front() : near, "'?")});
}

void finetune_floats(Graph& graph, const FinetuneOptions& options, PassContext& context) {
  const Answer answer = chosen_answer(graph, options.output_name);
  const LabelTarget target = label_target(graph, answer, options.loss, *context.training);
  Training training = training_of(graph, {answer.scores}, options, context);
  const size_t place = graph.main().outputs.size();      // outputs come before what is watched
  training.loss = [target, place](const Shard& shard) { return label_loss(target, shard.values[place], shard); };
  training.identity = cat("finetune ", describe(target), " of ", graph.value(answer.output).name);
  context.report.notes.push_back(cat("N3032: trained on ", describe(target), ", output '", printable(graph.value(answer.output).name), "'"));
  train_and_report(graph, training, options, context);
}

}  // namespace

void finetune(Graph& graph, const FinetuneOptions& options, PassContext& context) {
  if (!options.qat) return finetune_floats(graph, options, context);
  train_quantized(graph, options, context, [&](Graph& twin, PassContext& inner) { finetune_floats(twin, options, inner); });
}

}  // namespace niwaki
