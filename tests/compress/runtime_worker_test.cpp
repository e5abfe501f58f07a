#include "compress/runtime_worker.h"

#include "compress/error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <onnx/onnx_pb.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <unistd.h>

namespace niwaki {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

void set_value(onnx::ValueInfoProto* value, const std::string& name, int type) {
  value->set_name(name);
  auto* tensor = value->mutable_type()->mutable_tensor_type();
  tensor->set_elem_type(type);
  tensor->mutable_shape()->add_dim()->set_dim_param("n");
  tensor->mutable_shape()->add_dim()->set_dim_value(2);
}

/// y = op(x) and z = Identity(x), both [n, 2].
std::string one_op_model(const std::string& path, const std::string& op, int type) {
  onnx::ModelProto model;
  model.set_ir_version(8);
  model.add_opset_import()->set_version(17);
  onnx::GraphProto* graph = model.mutable_graph();
  graph->set_name("graph");
  set_value(graph->add_input(), "x", type);
  const std::string identity = "Identity";
  for (const auto& [name, node_op] : {std::pair{"y", op}, std::pair{"z", identity}}) {
    set_value(graph->add_output(), name, type);
    onnx::NodeProto* node = graph->add_node();
    node->set_op_type(node_op);
    node->set_name(std::string(name) + "_node");
    node->add_input("x");
    node->add_output(name);
  }
  std::ofstream file(path, std::ios::binary);
  model.SerializeToOstream(&file);
  return path;
}

class RuntimeWorkerTest : public ::testing::Test {
 protected:
  RuntimeWorkerTest()
      : folder_(fs::path(::testing::TempDir()) / ("worker" + std::to_string(getpid()))) {
    fs::create_directories(folder_);
  }
  ~RuntimeWorkerTest() override { fs::remove_all(folder_); }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }

  fs::path folder_;
};

#define SKIP_WITHOUT_RUNTIME(worker) \
  if (!(worker).available()) GTEST_SKIP() << (worker).reason()

template <typename Call>
std::string code_of(Call call) {
  try {
    call();
  } catch (const Error& error) {
    return error.code();
  }
  return "nothing was thrown";
}

TEST_F(RuntimeWorkerTest, RunsAModel) {
  RuntimeWorker worker;
  SKIP_WITHOUT_RUNTIME(worker);
  EXPECT_FALSE(worker.version().runtime.empty());
  const SessionId session = worker.load(one_op_model(path("m.onnx"), "Neg", 1));
  const RuntimeInterface& interface = worker.interface(session);
  ASSERT_EQ(interface.inputs.size(), 1u);
  EXPECT_EQ(interface.inputs[0].name, "x");
  EXPECT_EQ(interface.inputs[0].type, "tensor(float)");
  EXPECT_EQ(interface.inputs[0].shape, (std::vector<int64_t>{-1, 2}));
  ASSERT_EQ(interface.outputs.size(), 2u);
  EXPECT_EQ(interface.outputs[1].name, "z");
  const Tensor x = at::arange(6, at::kFloat).reshape({3, 2});
  const NamedTensors outputs = worker.run(session, {{"x", x}});
  EXPECT_EQ(outputs.size(), 2u);
  EXPECT_TRUE(at::equal(outputs.at("y"), -x));
  EXPECT_TRUE(at::equal(outputs.at("z"), x));
  EXPECT_EQ(worker.run(session, {{"x", x.t().reshape({3, 2})}}, {"y"}).size(), 1u);
}

TEST_F(RuntimeWorkerTest, HandsOverEveryTensorType) {
  RuntimeWorker worker;
  SKIP_WITHOUT_RUNTIME(worker);
  for (const auto type :
       {at::kFloat, at::kDouble, at::kHalf, at::kBFloat16, at::kChar, at::kByte, at::kShort,
        at::kInt, at::kLong, at::kBool, at::ScalarType::UInt16}) {
    const int onnx_type = int(dtype_of(type));
    const SessionId session = worker.load(one_op_model(path("t.onnx"), "Identity", onnx_type));
    const Tensor x = at::tensor({0, 1, 1, 0}, at::kInt).reshape({2, 2}).to(type);
    const Tensor y = worker.run(session, {{"x", x}}).at("y");
    EXPECT_EQ(y.scalar_type(), type);
    EXPECT_TRUE(at::equal(y.to(at::kInt), x.to(at::kInt))) << at::toString(type);
    worker.unload(session);
  }
}

TEST_F(RuntimeWorkerTest, HandsOverEmptyAndStridedTensors) {
  RuntimeWorker worker;
  SKIP_WITHOUT_RUNTIME(worker);
  const SessionId session = worker.load(one_op_model(path("m.onnx"), "Neg", 1));
  const Tensor none = worker.run(session, {{"x", at::empty({0, 2})}}).at("y");
  EXPECT_EQ(none.sizes().vec(), (std::vector<int64_t>{0, 2}));
  const Tensor strided = at::arange(8, at::kFloat).reshape({2, 4}).t();
  EXPECT_TRUE(at::equal(worker.run(session, {{"x", strided}}).at("y"), -strided));
}

TEST_F(RuntimeWorkerTest, RefusesStrings) {
  RuntimeWorker worker;
  SKIP_WITHOUT_RUNTIME(worker);
  const SessionId session = worker.load(one_op_model(path("m.onnx"), "Identity", 8));
  EXPECT_EQ(code_of([&] { worker.run(session, {{"x", at::zeros({1, 2})}}); }), "E3311");
}

TEST_F(RuntimeWorkerTest, ReportsWhatTheRuntimeRefuses) {
  RuntimeWorker worker;
  SKIP_WITHOUT_RUNTIME(worker);
  EXPECT_EQ(code_of([&] { worker.load(path("none.onnx")); }), "E3311");
  std::ofstream(path("bad.onnx")) << "no model";
  EXPECT_EQ(code_of([&] { worker.load(path("bad.onnx")); }), "E3311");
  const SessionId session = worker.load(one_op_model(path("m.onnx"), "Neg", 1));
  try {
    worker.run(session, {{"x", at::zeros({1, 3})}});
    ADD_FAILURE() << "a wrong shape was accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), "E3311");
    EXPECT_THAT(error.message(), HasSubstr("running '"));
    EXPECT_THAT(error.message(), HasSubstr("x"));
  }
  // The process goes on after a refusal.
  EXPECT_EQ(worker.run(session, {{"x", at::zeros({1, 2})}}).size(), 2u);
}

TEST_F(RuntimeWorkerTest, SurvivesTheEndOfTheProcess) {
  RuntimeWorker worker;
  SKIP_WITHOUT_RUNTIME(worker);
  const SessionId session = worker.load(one_op_model(path("m.onnx"), "Neg", 1));
  ASSERT_GT(worker.process_id(), 0);
  kill(worker.process_id(), SIGKILL);
  for (int attempt = 0; attempt < 2; ++attempt) {
    try {
      worker.run(session, {{"x", at::zeros({1, 2})}});
      ADD_FAILURE() << "a dead process answered";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), "E3310");
      EXPECT_EQ(error.exit_code(), 3);
      EXPECT_THAT(error.message(), HasSubstr("stopped with signal 9"));
    }
  }
}

TEST_F(RuntimeWorkerTest, StopsAProcessThatHangs) {
  WorkerOptions options;
  options.timeout_seconds = 2;
  RuntimeWorker worker(options);
  SKIP_WITHOUT_RUNTIME(worker);
  kill(worker.process_id(), SIGSTOP);
  try {
    worker.memory();
    ADD_FAILURE() << "a stopped process answered";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), "E3310");
    EXPECT_THAT(error.message(), HasSubstr("timed out after 2 s"));
  }
  EXPECT_EQ(worker.process_id(), 0);
}

TEST_F(RuntimeWorkerTest, StopsWhenAsked) {
  bool is_stopped = false;
  WorkerOptions options;
  options.stopped = [&] { return is_stopped; };
  RuntimeWorker worker(options);
  SKIP_WITHOUT_RUNTIME(worker);
  is_stopped = true;
  EXPECT_THROW(worker.memory(), Interrupted);
  EXPECT_EQ(worker.process_id(), 0);
}

TEST_F(RuntimeWorkerTest, KeepsToItsMemoryLimit) {
  WorkerOptions options;
  options.memory_bytes = uint64_t{1} << 30;
  RuntimeWorker worker(options);
  SKIP_WITHOUT_RUNTIME(worker);
  const SessionId session = worker.load(one_op_model(path("m.onnx"), "Neg", 1), {1});
  const Tensor x = at::zeros({1 << 25, 2});  // 256 MiB, and as much for each output
  EXPECT_EQ(code_of([&] { worker.run(session, {{"x", x}}); }), "E3311");
}

TEST_F(RuntimeWorkerTest, SaysWhyItIsNotAvailable) {
  WorkerOptions options;
  options.python = path("no_python");
  RuntimeWorker none(options);
  EXPECT_FALSE(none.available());
  EXPECT_THAT(none.reason(), HasSubstr("cannot start"));
  EXPECT_EQ(code_of([&] { none.version(); }), "E4006");
  EXPECT_EQ(code_of([&] { none.load("m.onnx"); }), "E4006");
  options.python = "/bin/false";
  RuntimeWorker wrong(options);
  EXPECT_FALSE(wrong.available());
  EXPECT_THAT(wrong.reason(), HasSubstr("exit status 1"));
}

TEST_F(RuntimeWorkerTest, PrefersTheInterpreterBesideTheProgram) {
  const char* chosen = std::getenv("NIWAKI_PYTHON");
  const std::string kept = chosen == nullptr ? "" : chosen;
  unsetenv("NIWAKI_PYTHON");
  const fs::path python = path("python");
  std::ofstream(python) << "#!/bin/sh\n"
                        << R"(echo '{"error": "Beside", "message": "beside the program"}')" << "\n";
  fs::permissions(python, fs::perms::owner_all);
  WorkerOptions options;
  options.program = path("niwaki");
  RuntimeWorker worker(options);
  EXPECT_FALSE(worker.available());
  EXPECT_THAT(worker.reason(), HasSubstr("beside the program"));
  EXPECT_THAT(worker.reason(), HasSubstr(python.string()));
  if (!kept.empty()) setenv("NIWAKI_PYTHON", kept.c_str(), 1);
}

TEST_F(RuntimeWorkerTest, LeavesNoFolderBehind) {
  const auto count = [] {
    int found = 0;
    for (const auto& entry : fs::directory_iterator(fs::temp_directory_path())) {
      found += entry.path().filename().string().starts_with("niwaki-");
    }
    return found;
  };
  setenv("TMPDIR", folder_.c_str(), 1);
  {
    RuntimeWorker worker;
    EXPECT_EQ(count(), 1);
  }
  EXPECT_EQ(count(), 0);
  unsetenv("TMPDIR");
}

TEST_F(RuntimeWorkerTest, CountsTheOperatorsOfTheOptimizedGraph) {
  RuntimeWorker worker;
  SKIP_WITHOUT_RUNTIME(worker);
  const nlohmann::json census = worker.census(one_op_model(path("m.onnx"), "Neg", 1));
  EXPECT_EQ(census.at("ops").at("Neg"), 1);
  bool has_node = false;
  for (const auto& node : census.at("nodes")) {
    if (node.at("name") != "y_node") continue;
    has_node = node.at("op") == "Neg" && node.at("inputs").at(0) == "x";
  }
  EXPECT_TRUE(has_node);
}

TEST_F(RuntimeWorkerTest, ChecksWithTheOnnxPackage) {
  RuntimeWorker worker;
  SKIP_WITHOUT_RUNTIME(worker);
  if (!worker.version().has_checker) GTEST_SKIP() << "no onnx package";
  EXPECT_EQ(worker.check(one_op_model(path("m.onnx"), "Neg", 1)).at("ok"), true);
  const nlohmann::json wrong = worker.check(one_op_model(path("w.onnx"), "NoSuchOp", 1));
  EXPECT_EQ(wrong.at("ok"), false);
  EXPECT_THAT(wrong.at("message").get<std::string>(), HasSubstr("NoSuchOp"));
}

TEST_F(RuntimeWorkerTest, MeasuresRuns) {
  RuntimeWorker worker;
  SKIP_WITHOUT_RUNTIME(worker);
  const SessionId session = worker.load(one_op_model(path("m.onnx"), "Neg", 1), {1});
  worker.bind(session, {{"x", at::zeros({1, 2})}});
  EXPECT_GT(worker.warm_up(session, 0.05), 0);
  const std::vector<double> times = worker.measure(session, 7);
  ASSERT_EQ(times.size(), 7u);
  for (const double time : times) EXPECT_GT(time, 0);
  const WorkerMemory memory = worker.memory();
  EXPECT_GT(memory.rss_bytes, 1u << 20);
  EXPECT_GE(memory.peak_bytes, memory.rss_bytes);
}

}  // namespace
}  // namespace niwaki
