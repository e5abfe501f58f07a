#include "compress/pipeline.h"

#include "compress/error.h"
#include "compress/footprint.h"
#include "compress/graph_text.h"
#include "tests/graph_builder.h"

#include <gtest/gtest.h>

#include <filesystem>

namespace niwaki {
namespace {

Graph small_graph() {
  GraphBuilder b;
  b.output(b.node("Relu", {b.node("Relu", {b.input("x", {int64_t{4}})}, {}, "a")}, {}, "b"));
  return b.graph();
}

Pass pass(const std::string& name, std::function<void(Graph&, PassContext&)> work, Needs needs = {}) {
  return {.name = name, .needs = needs, .run = std::move(work)};
}
Pass grow(const std::string& name, int64_t floats) {
  return pass(name, [floats](Graph& graph, PassContext& context) {
    graph.add_constant("added", make_constant(at::zeros({floats})));
    context.report.change("added");
  });
}
Pass rename(const std::string& name, const std::string& doc) {
  return pass(name, [doc](Graph& graph, PassContext&) {
    graph.edit_main().doc += doc;
    graph.touch();
  });
}

std::vector<PassReport> run_all(const std::vector<Pass>& passes, Graph& graph, const RunInputs& inputs = {}) {
  Progress progress;
  return run(passes, graph, inputs, progress);
}

TEST(Pipeline, RunsInOrderAndCountsBytes) {
  Graph graph = small_graph();
  const int64_t before = serialized_bytes(graph);
  const auto reports = run_all({rename("one", "1"), grow("two", 100), pass("three", [](Graph&, PassContext&) {}), rename("four", "4")}, graph);
  ASSERT_EQ(reports.size(), 4u);
  EXPECT_EQ(graph.main().doc, "14");
  EXPECT_EQ(reports[0].bytes_before, before);
  for (size_t i = 1; i < reports.size(); ++i) EXPECT_EQ(reports[i].bytes_before, reports[i - 1].bytes_after);
  EXPECT_GE(reports[1].bytes_after, reports[1].bytes_before + 400);
  EXPECT_EQ(reports[3].bytes_after, serialized_bytes(graph));
  EXPECT_TRUE(reports[1].changed);
  EXPECT_FALSE(reports[2].changed);
}

TEST(Pipeline, UndoesCleanUpsThatGrow) {
  Graph graph = small_graph();
  const std::string before = text(graph);
  const auto reports = run_all({grow("fold_constants", 5000)}, graph);
  EXPECT_EQ(text(graph), before);
  EXPECT_FALSE(reports[0].changed);
  EXPECT_TRUE(reports[0].nodes.empty());
  ASSERT_EQ(reports[0].notes.size(), 1u);
  EXPECT_EQ(reports[0].notes[0].rfind("N3002: undone: the model would have grown from ", 0), 0u) << reports[0].notes[0];
  EXPECT_EQ(reports[0].bytes_after, reports[0].bytes_before);
  EXPECT_TRUE(run_all({grow("fold_constants", 900)}, graph)[0].changed);        // within the allowance
  EXPECT_TRUE(run_all({grow("quantize_static", 5000)}, graph)[0].changed);      // no clean-up
}

TEST(Pipeline, StopsAfterAndSkips) {
  Graph graph = small_graph();
  const std::vector<Pass> passes = {rename("one", "1"), rename("two", "2"), rename("three", "3")};
  EXPECT_EQ(run_all(passes, graph, {.stop_after = "two"}).size(), 2u);
  EXPECT_EQ(graph.main().doc, "12");
  Graph other = small_graph();
  const auto reports = run_all(passes, other, {.skip = {"two"}});
  ASSERT_EQ(reports.size(), 2u);
  EXPECT_EQ(reports[1].pass, "three");
  EXPECT_EQ(other.main().doc, "13");
}

TEST(Pipeline, ErrorsNameThePassAndLeaveTheLastGoodGraph) {
  Graph graph = small_graph();
  const auto fail = pass("two", [](Graph& candidate, PassContext&) {
    candidate.edit_main().doc = "half done";
    candidate.touch();
    throw ModelError("E1320", "no way", {.where = "node 'a'"});
  });
  try {
    run_all({rename("one", "1"), fail, rename("three", "3")}, graph);
    FAIL();
  } catch (const ModelError& error) {
    EXPECT_STREQ(error.what(), "pass 2 of 3 'two', node 'a': no way");
  }
  EXPECT_EQ(graph.main().doc, "1");
}

TEST(Pipeline, RefusesBrokenGraphs) {
  Graph graph = small_graph();
  const std::string before = text(graph);
  const auto cut = pass("cut", [](Graph& candidate, PassContext&) { candidate.remove(candidate.main().nodes[0]); });
  EXPECT_THROW(run_all({cut}, graph), InternalError);
  EXPECT_EQ(text(graph), before);
}

TEST(Pipeline, ExceptionsOfLibrariesBecomeOurs) {
  Graph graph = small_graph();
  const auto aten = pass("aten", [](Graph&, PassContext&) { at::ones({2}) + at::ones({3}); });
  EXPECT_THROW(run_all({aten}, graph), InternalError);
  const auto memory = pass("memory", [](Graph&, PassContext&) { throw std::bad_alloc(); });
  try {
    run_all({memory}, graph);
    FAIL();
  } catch (const EnvironmentError& error) {
    EXPECT_EQ(error.code(), "E4002");
  }
}

TEST(Pipeline, ChecksNeedsBeforeAnyWork) {
  Graph graph = small_graph();
  try {
    run_all({rename("one", "1"), pass("two", [](Graph&, PassContext&) {}, {.calibration = true})}, graph);
    FAIL();
  } catch (const UsageError& error) {
    EXPECT_EQ(error.text(), "error[E2014]: pass 'two' needs calibration data\nhelp: give --calib DATA");
  }
  EXPECT_EQ(graph.main().doc, "");
}

TEST(Pipeline, DumpsWhatChanged) {
  std::string folder = (std::filesystem::temp_directory_path() / "niwaki_pipeline_XXXXXX").string();
  ASSERT_NE(::mkdtemp(folder.data()), nullptr);
  Graph graph = small_graph();
  run_all({pass("idle", [](Graph&, PassContext&) {}), rename("one", "1")}, graph, {.dump_directory = folder});
  EXPECT_FALSE(std::filesystem::exists(folder + "/1_idle.txt"));
  EXPECT_TRUE(std::filesystem::exists(folder + "/2_one.txt"));
  std::filesystem::remove_all(folder);
}

TEST(Pipeline, InterruptsPassThrough) {
  Graph graph = small_graph();
  EXPECT_THROW(run_all({pass("long", [](Graph&, PassContext&) { throw Interrupted(); })}, graph), Interrupted);
}

}  // namespace
}  // namespace niwaki
