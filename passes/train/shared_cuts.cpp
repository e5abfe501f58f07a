#include "passes/train/shared_cuts.h"

#include "compress/error.h"
#include "compress/executor.h"
#include "compress/train/trainable.h"
#include "passes/train/find_blocks.h"

#include <algorithm>

namespace niwaki {
namespace {

std::vector<Tensor> values_of(const Graph& graph, const std::vector<ValueId>& wanted, const Given& given) {
  const Executor executor(graph, {.until = wanted});
  RunValues inputs;
  for (const ValueId id : executor.inputs()) {
    const std::string& name = graph.value(id).name;
    if (!given.contains(name)) throw UsageError("E3322", cat("the teacher has an input '", printable(name), "' that the student has not"));
    inputs.push_back(given.at(name));
  }
  std::vector<Tensor> values;
  for (const RunValue& value : executor.run(inputs)) values.push_back(value.tensor);
  return values;
}

bool are_rows(const Tensor& a, const Tensor& b, int64_t rows) {
  return a.defined() && b.defined() && a.dim() > 0 && a.size(0) == rows && a.sizes() == b.sizes();
}

}  // namespace

Given first_batch(const Graph& graph, const Dataset& data) {
  const Dataset::Batch batch = data.batch(0);
  const Executor executor(graph);
  Given given;
  for (size_t i = 0; i < batch.inputs.size(); ++i) given[graph.value(executor.inputs()[i]).name] = batch.inputs[i];
  return given;
}

Graph with_fixed_inputs(const Graph& graph, const Given& given, const Rows& rows) {
  Graph fixed = graph;
  for (const ValueId id : graph.main().inputs) {
    const std::string& name = graph.value(id).name;
    const auto found = given.find(name);
    if (graph.constant(id) || found == given.end() || rows.contains(name) || !found->second.tensor.defined()) continue;
    fixed.set_constant(id, make_constant(found->second.tensor, found->second.dtype));
    fixed.edit_main().constants.push_back(id);
  }
  return fixed;
}

std::vector<SharedCut> shared_cuts(const Graph& student, const Graph& teacher, const std::set<ValueId>& weights, const Given& given, int64_t rows) {
  const std::vector<ValueId> theirs = cut_values(teacher, trainable_constants(teacher));
  std::vector<SharedCut> found;
  auto next = theirs.begin();
  for (const ValueId own : cut_values(student, weights)) {
    const auto same = std::find_if(next, theirs.end(), [&](ValueId id) { return teacher.value(id).name == student.value(own).name; });
    if (same == theirs.end()) continue;
    found.push_back({own, *same});
    next = same + 1;
  }
  std::vector<ValueId> ours, others;
  for (const SharedCut& cut : found) {
    ours.push_back(cut.own);
    others.push_back(cut.theirs);
  }
  if (found.empty()) return found;
  const std::vector<Tensor> a = values_of(student, ours, given), b = values_of(teacher, others, given);
  std::vector<SharedCut> kept;
  for (size_t i = 0; i < found.size(); ++i) {
    if (!are_rows(a[i], b[i], rows)) continue;
    kept.push_back(found[i]);
    kept.back().bytes = static_cast<int64_t>(a[i].nbytes()) / rows;
  }
  return kept;
}

}  // namespace niwaki
