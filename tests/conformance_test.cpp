#include "compress/error.h"
#include "compress/executor.h"
#include "compress/onnx/proto.h"
#include "compress/ops/op_arguments.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <onnx/onnx-data.pb.h>
#include <onnx/onnx_pb.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace niwaki {
namespace {

namespace fs = std::filesystem;

// Models that are not run, and the refusal that each must meet.
const std::map<std::string, std::string> kRefused = {
    {"test_gradient_of_add", "ai.onnx.preview.training.Gradient"},
    {"test_gradient_of_add_and_mul", "ai.onnx.preview.training.Gradient"},
};

std::string read_bytes(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

template <typename Message>
Message parsed(const fs::path& path) {
  Message message;
  if (!message.ParseFromString(read_bytes(path))) throw std::runtime_error(path.string() + " is no message");
  return message;
}

RunValue value_of(onnx::TensorProto&& proto) { return run_value(constant_from_proto(std::move(proto), {})); }

RunValue read_value(const fs::path& path, const onnx::TypeProto& type) {
  if (!type.has_sequence_type()) return value_of(parsed<onnx::TensorProto>(path));
  auto proto = parsed<onnx::SequenceProto>(path);
  std::vector<RunValue> items;
  for (auto& tensor : *proto.mutable_tensor_values()) items.push_back(value_of(std::move(tensor)));
  return sequence_value(std::move(items));
}

/// What differs, or "": rtol 1e-3 and atol 1e-5 for numbers, strings and sequences exactly.
std::string difference(const RunValue& wanted, const RunValue& found) {
  if (wanted.sequence || found.sequence) {
    if (!wanted.sequence || !found.sequence || wanted.sequence->size() != found.sequence->size()) return "the sequences differ in length";
    for (size_t i = 0; i < wanted.sequence->size(); ++i) {
      const std::string text = difference((*wanted.sequence)[i], (*found.sequence)[i]);
      if (!text.empty()) return cat("item ", i, ": ", text);
    }
    return "";
  }
  if (!found.is_present()) return "nothing came out";
  if (wanted.dtype != found.dtype) return cat(name_of(found.dtype), " instead of ", name_of(wanted.dtype));
  if (sizes_of(wanted) != sizes_of(found)) return cat(shape_text(sizes_of(found)), " instead of ", shape_text(sizes_of(wanted)));
  if (wanted.strings) return *wanted.strings == *found.strings ? "" : "the strings differ";
  const Tensor a = wanted.tensor.to(at::kDouble), b = found.tensor.to(at::kDouble);
  return at::allclose(b, a, 1e-3, 1e-5, /*equal_nan=*/true) ? "" : cat("numbers differ by ", (a - b).abs().max().item<double>());
}

struct Case {
  Graph graph;
  std::vector<onnx::TypeProto> inputs, outputs;
};

Case read_case(const fs::path& folder) {
  auto model = parsed<onnx::ModelProto>(folder / "model.onnx");
  Case one;
  std::set<std::string> constants;
  for (const auto& tensor : model.graph().initializer()) constants.insert(tensor.name());
  for (const auto& input : model.graph().input()) {
    if (!constants.contains(input.name())) one.inputs.push_back(input.type());
  }
  for (const auto& output : model.graph().output()) one.outputs.push_back(output.type());
  one.graph = graph_from_proto(std::move(model), {});
  return one;
}

std::string run_data_set(const Case& one, const Executor& executor, const fs::path& data) {
  RunValues inputs;
  for (size_t i = 0; i < one.inputs.size(); ++i) inputs.push_back(read_value(data / cat("input_", i, ".pb"), one.inputs[i]));
  const RunValues outputs = executor.run(inputs);
  for (size_t i = 0; i < one.outputs.size(); ++i) {
    const std::string text = difference(read_value(data / cat("output_", i, ".pb"), one.outputs[i]), outputs.at(i));
    if (!text.empty()) return cat("output ", i, ": ", text);
  }
  return "";
}

/// Runs all data sets of a model: what is wrong, or "".
std::string run_case(const fs::path& folder) {
  try {
    const Case one = read_case(folder);
    const Executor executor(one.graph);
    int num_sets = 0;
    for (; fs::exists(folder / cat("test_data_set_", num_sets)); ++num_sets) {
      const std::string text = run_data_set(one, executor, folder / cat("test_data_set_", num_sets));
      if (!text.empty()) return cat("data set ", num_sets, ", ", text);
    }
    return num_sets > 0 ? "" : "there is no data set";
  } catch (const Error& error) {
    return error.text();
  } catch (const std::exception& error) {
    return error.what();
  }
}

fs::path suite() {
  const char* shared = std::getenv("NIWAKI_SHARED_DATA");
  if (shared != nullptr && *shared != '\0') return fs::path(shared) / "datasets/onnx_conformance";
  const char* source = std::getenv("NIWAKI_SOURCE_DIR");
  return fs::path(source == nullptr ? "." : source) / "../shared/data/datasets/onnx_conformance";
}

TEST(Conformance, ModelsOfTheOnnxBackendSuite) {
  if (!fs::exists(suite())) GTEST_SKIP() << "the conformance models are not at " << suite();
  std::set<fs::path> folders;
  for (const auto& entry : fs::recursive_directory_iterator(suite())) {
    if (entry.path().filename() == "model.onnx") folders.insert(entry.path().parent_path());
  }
  EXPECT_GE(folders.size(), 140U);
  for (const fs::path& folder : folders) {
    const std::string name = folder.filename();
    const std::string problem = run_case(folder);
    const auto refused = kRefused.find(name);
    if (refused == kRefused.end()) EXPECT_EQ(problem, "") << name;
    else EXPECT_THAT(problem, testing::HasSubstr(refused->second)) << name;
  }
}

}  // namespace
}  // namespace niwaki
