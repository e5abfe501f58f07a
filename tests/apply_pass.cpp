#include "tests/apply_pass.h"

#include "compress/onnx/infer_shapes.h"
#include "compress/verify.h"
#include "passes/all_passes.h"

#include <gtest/gtest.h>

namespace niwaki {

Applied apply_pass(const std::string& name, const Graph& graph, const Json& options, const Dataset* calibration, const Dataset* training, const Graph* teacher) {
  Applied applied{graph, graph, {.pass = name}};
  Progress progress;
  PassContext context{.report = applied.report, .progress = progress, .calibration = calibration, .training = training, .teacher = teacher};
  all_passes().make(name, options).run(applied.after, context);
  infer_shapes(applied.after);
  require_valid(applied.after);
  applied.report.changed = applied.after.revision() != graph.revision();
  const auto interface = [](const Graph& one) {
    std::vector<std::string> names;
    for (const ValueId id : one.main().inputs) names.push_back("in " + one.value(id).name);
    for (const ValueId id : one.main().outputs) names.push_back("out " + one.value(id).name);
    return names;
  };
  EXPECT_EQ(interface(applied.before), interface(applied.after));
  return applied;
}

}  // namespace niwaki
