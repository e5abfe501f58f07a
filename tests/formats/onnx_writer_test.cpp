#include "compress/error.h"
#include "formats/format.h"
#include "tests/formats/temporary_folder.h"
#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

using External = WriteOptions::ExternalData;

class OnnxWriter : public TemporaryFolder {
 protected:
  /// Weights of 40,000 and 400 bytes, of odd sizes, and a string.
  static Graph graph() {
    GraphBuilder b;
    const ValueId h = b.node("MatMul", {b.input("x", {int64_t{1}, int64_t{100}}), b.random_constant("w", {100, 100})});
    const ValueId i = b.node("MatMul", {h, b.random_constant("v", {100, 51})});
    b.output(b.node("Add", {i, b.random_constant("small", {51})}));
    Graph graph = b.graph();
    graph.add_constant("packed", make_constant(at::ones({4001}, at::kChar), DType::int4));
    return graph;
  }
  static void expect_same(const Graph& before, const Graph& after) {
    for (const char* name : {"w", "v", "small", "packed"}) {
      EXPECT_TRUE(same_content(*before.constant(*before.find_value(name)), *after.constant(*after.find_value(name)))) << name;
    }
  }
};

TEST_F(OnnxWriter, AppearsOnCommit) {
  const Graph before = graph();
  StagedModel staged(before, at("m.onnx"));
  EXPECT_FALSE(std::filesystem::exists(at("m.onnx")));
  expect_same(before, read_model(staged.path()).graph);
  const Written written = staged.commit();
  const Model model = read_model(at("m.onnx"));
  EXPECT_EQ(model.sha256, written.sha256);
  EXPECT_EQ(model.file_bytes, written.file_bytes);
  EXPECT_EQ(written.data_path, "");
  EXPECT_EQ(num_files(), 1u);
  expect_same(before, model.graph);
}

TEST_F(OnnxWriter, LeavesNothingWithoutCommit) {
  put("m.onnx", "old");
  { const StagedModel staged(graph(), at("m.onnx"), {.external_data = External::always}); }
  EXPECT_EQ(num_files(), 1u);
  EXPECT_EQ(file_text(at("m.onnx")), "old");
}

TEST_F(OnnxWriter, WritesExternalDataAndReadsItBack) {
  const Graph before = graph();
  const Written written = StagedModel(before, at("m.onnx"), {.external_data = External::always}).commit();
  EXPECT_EQ(num_files(), 2u);
  const Model model = read_model(at("m.onnx"));
  expect_same(before, model.graph);
  ASSERT_EQ(model.external_files.size(), 1u);
  EXPECT_EQ(at(model.external_files[0]), written.data_path);
  EXPECT_EQ(model.file_bytes, written.file_bytes);
  EXPECT_LT(std::filesystem::file_size(at("m.onnx")), 2000u);
}

TEST_F(OnnxWriter, DataFileIsNamedAfterItsContent) {
  const Graph before = graph();
  const Written first = StagedModel(before, at("a.b.onnx"), {.external_data = External::always}).commit();
  const std::string name = std::filesystem::path(first.data_path).filename();
  EXPECT_EQ(name.substr(0, 4), "a.b.");
  EXPECT_EQ(name.size(), std::string("a.b.01234567.data").size());
  const Written again = StagedModel(before, at("a.b.onnx"), {.external_data = External::always}).commit();
  EXPECT_EQ(first.data_path, again.data_path);
  EXPECT_EQ(first.sha256, again.sha256);
}

TEST_F(OnnxWriter, AnUncommittedModelLeavesTheDataOfAnEarlierOne) {
  const Graph before = graph();
  StagedModel(before, at("m.onnx"), {.external_data = External::always}).commit();
  { const StagedModel again(before, at("m.onnx"), {.external_data = External::always}); }
  expect_same(before, read_model(at("m.onnx")).graph);
}

TEST_F(OnnxWriter, AReadModelCanReplaceItsOwnData) {
  StagedModel(graph(), at("m.onnx"), {.external_data = External::always}).commit();
  const Model model = read_model(at("m.onnx"));
  StagedModel(model.graph, at("n.onnx"), {.external_data = External::always}).commit();
  std::filesystem::remove(at("m.onnx"));
  expect_same(graph(), read_model(at("n.onnx")).graph);
}

TEST_F(OnnxWriter, RefusesAMissingFolder) {
  EXPECT_THROW(StagedModel(graph(), at("none/m.onnx")), EnvironmentError);
}

}  // namespace
}  // namespace niwaki
