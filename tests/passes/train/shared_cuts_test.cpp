#include "passes/train/shared_cuts.h"

#include "compress/error.h"
#include "compress/train/trainable.h"
#include "tests/passes/train/train_fixture.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

size_t shared(const Graph& student, const Graph& teacher) {
  const Dataset data = samples_for(student, student, 20, false);
  return shared_cuts(student, teacher, trainable_constants(student), first_batch(student, data), 16).size();
}

TEST(SharedCuts, HaveTheSameNameAndSizes) {
  const Graph graph = small_net(12, 5);
  EXPECT_EQ(shared(graph, graph), 3u);
  EXPECT_EQ(shared(graph, small_net(10, 5)), 1u);                      // the hidden values have another width
  Graph renamed = graph;
  renamed.rename_value(*renamed.find_value("y"), "z");
  EXPECT_EQ(shared(graph, renamed), 2u);
}

TEST(SharedCuts, AnInputThatIsTheSameForAllSamplesBecomesAConstant) {
  GraphBuilder b;
  const ValueId scale = b.input("scale", {});
  b.output(b.node("Mul", {b.node("MatMul", {b.input("x", {"n", int64_t{6}}), b.random_constant("w", {6, 3})}), scale}), "y");
  const Graph graph = b.graph();
  const Tensor x = random_tensor({20, 6}, 1);
  const Dataset data(graph, samples_of({{"x", x}}), {.batch = 16, .fixed = {{"scale", "2"}}}, "data");
  const Rows rows = input_rows(graph, data, 20);
  EXPECT_EQ(rows.size(), 1u);
  const Graph fixed = with_fixed_inputs(graph, first_batch(graph, data), rows);
  EXPECT_TRUE(at::equal(run_graph(fixed, {x})[0], run_graph(graph, {at::tensor(2.0F), x})[0]));
}

TEST(SharedCuts, RefusesATeacherWithAnInputOfItsOwn) {
  GraphBuilder b;
  b.output(b.node("MatMul", {b.input("other", {"n", int64_t{6}}), b.random_constant("w", {6, 3})}), "y");
  const Graph teacher = b.graph();
  try {
    shared(small_net(12, 5), teacher);
    FAIL() << "nothing was given for an input";
  } catch (const UsageError& error) {
    EXPECT_EQ(error.code(), "E3322");
  }
}

}  // namespace
}  // namespace niwaki
