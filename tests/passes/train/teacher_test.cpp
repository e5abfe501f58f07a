#include "passes/train/teacher.h"

#include "compress/error.h"
#include "formats/samples.h"
#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

Graph reader(const std::string& name, Shape shape, const std::string& op = "Relu") {
  GraphBuilder b;
  b.output(b.node(op, {b.input(name, std::move(shape))}), "y");
  return b.graph();
}

Dataset data_of(const Graph& graph, const Tensor& x) { return Dataset(graph, samples_of({{graph.value(graph.main().inputs[0]).name, x}}), {.batch = 4}, "data"); }

/// What the teacher says of samples 2, 0 and 3.
Tensor answer(const Graph& teacher, const Graph& student, const Tensor& x, int64_t cache_bytes = 1 << 20) {
  const Dataset data = data_of(student, x);
  Teacher one(teacher, student, {teacher.main().outputs[0]});
  Progress progress;
  one.remember(data, cache_bytes, progress);
  const std::vector<int64_t> samples{2, 0, 3};
  const Dataset::Batch batch = data.gather(samples);
  return one.answers({batch.inputs, {}, samples, false, {}, {}}).at(0);
}

TEST(Teacher, AnswersForTheSamplesOfAShard) {
  const Graph graph = reader("x", {"n", int64_t{5}});
  const Tensor x = random_tensor({6, 5}, 1), wanted = x.index_select(0, at::tensor({2, 0, 3})).relu();
  for (const int64_t cache : {0, 1 << 20}) {
    EXPECT_TRUE(at::equal(answer(graph, graph, x, cache), wanted)) << "cache of " << cache;
  }
}

TEST(Teacher, OfAFixedBatchIsAskedInItsSteps) {
  const Graph student = reader("x", {"n", int64_t{5}});
  const Tensor x = random_tensor({6, 5}, 2), wanted = x.index_select(0, at::tensor({2, 0, 3})).relu();
  for (const int64_t batch : {1, 2, 5}) EXPECT_TRUE(at::equal(answer(reader("other", {batch, int64_t{5}}), student, x), wanted)) << "batch of " << batch;
}

TEST(Teacher, ReadsAnotherLayoutOrShape) {
  const Graph student = reader("x", {"n", int64_t{4}, int64_t{5}, int64_t{3}});
  const Tensor x = random_tensor({6, 4, 5, 3}, 3), rows = x.index_select(0, at::tensor({2, 0, 3})).relu();
  EXPECT_TRUE(at::equal(answer(reader("image", {"n", int64_t{3}, int64_t{4}, int64_t{5}}), student, x), rows.permute({0, 3, 1, 2})));
  EXPECT_TRUE(at::equal(answer(reader("flat", {"n", int64_t{60}}), student, x), rows.reshape({3, 60})));
}

TEST(Teacher, OfOtherSamplesIsRefused) {
  const Graph student = reader("x", {"n", int64_t{5}}), teacher = reader("x", {"n", int64_t{6}});
  try {
    const Teacher one(teacher, student, {teacher.main().outputs[0]});
    FAIL() << "a teacher of other inputs was taken";
  } catch (const UsageError& error) {
    EXPECT_EQ(error.code(), "E3322");
  }
}

}  // namespace
}  // namespace niwaki
