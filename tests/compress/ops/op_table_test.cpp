#include "compress/ops/op_table.h"

#include "compress/error.h"
#include "compress/executor.h"
#include "compress/onnx/proto.h"
#include "compress/ops/op_arguments.h"

#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <onnx/onnx-data.pb.h>
#include <onnx/onnx_pb.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <unistd.h>

namespace niwaki {
namespace {

namespace fs = std::filesystem;

// Cases of the suite that do not hold, and why.
const std::map<std::string, std::string> kExceptions = {
    {"test_bernoulli", "random numbers"},
    {"test_bernoulli_double", "random numbers"},
    {"test_bernoulli_double_expanded", "random numbers"},
    {"test_bernoulli_expanded", "random numbers"},
    {"test_bernoulli_seed", "random numbers"},
    {"test_bernoulli_seed_expanded", "random numbers"},
};

std::string read_bytes(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

template <typename Message>
Message parsed(const std::string& bytes) {
  Message message;
  if (!message.ParseFromString(bytes)) throw std::runtime_error("not a message");
  return message;
}

RunValue value_of(onnx::TensorProto&& proto) {
  return run_value(constant_from_proto(std::move(proto), {}));
}

RunValue value_of(onnx::SequenceProto&& proto) {
  std::vector<RunValue> items;
  for (auto& tensor : *proto.mutable_tensor_values()) items.push_back(value_of(std::move(tensor)));
  return sequence_value(std::move(items));
}

RunValue value_of(onnx::OptionalProto&& proto) {
  if (proto.has_tensor_value()) return value_of(std::move(*proto.mutable_tensor_value()));
  if (proto.has_sequence_value()) return value_of(std::move(*proto.mutable_sequence_value()));
  return {};
}

RunValue read_value(const fs::path& path, const onnx::TypeProto& type) {
  const std::string bytes = read_bytes(path);
  if (type.has_sequence_type()) return value_of(parsed<onnx::SequenceProto>(bytes));
  if (type.has_optional_type()) return value_of(parsed<onnx::OptionalProto>(bytes));
  return value_of(parsed<onnx::TensorProto>(bytes));
}

struct Tolerance {
  double relative = 1e-3, absolute = 1e-5;
};

/// What differs, or "".
std::string difference(const RunValue& wanted, const RunValue& found, const Tolerance& tolerance) {
  if (wanted.is_present() != found.is_present()) return "one is absent";
  if (wanted.sequence) {
    if (!found.sequence || wanted.sequence->size() != found.sequence->size()) return "lengths";
    for (size_t i = 0; i < wanted.sequence->size(); ++i) {
      const auto text = difference((*wanted.sequence)[i], (*found.sequence)[i], tolerance);
      if (!text.empty()) return cat("item ", i, ": ", text);
    }
    return "";
  }
  if (!wanted.is_present()) return "";
  if (wanted.dtype != found.dtype) return cat(name_of(found.dtype), ", not ", name_of(wanted.dtype));
  if (sizes_of(wanted) != sizes_of(found)) {
    return cat(shape_text(sizes_of(found)), ", not ", shape_text(sizes_of(wanted)));
  }
  if (wanted.strings) return *wanted.strings == *found.strings ? "" : "strings";
  // a result of few bits may be off by two units in the last place
  double relative = tolerance.relative;
  if (wanted.dtype == DType::float16) relative = std::max(relative, std::ldexp(1, -9));
  if (wanted.dtype == DType::bfloat16) relative = std::max(relative, std::ldexp(1, -6));
  const auto type = at::isComplexType(wanted.tensor.scalar_type()) ? at::kComplexDouble : at::kDouble;
  const Tensor a = wanted.tensor.to(type), b = found.tensor.to(type);
  if (at::allclose(b, a, relative, tolerance.absolute, /*equal_nan=*/true)) return "";
  const Tensor gap = at::abs(a - b).flatten();
  return cat("numbers differ by ", gap.max().item<double>(), " at ", at::argmax(gap).item<int64_t>(),
             " of ", gap.numel());
}

bool is_covered(const Graph& graph) { return unsupported_nodes(graph).empty(); }

Tolerance read_tolerance(const fs::path& folder) {
  Tolerance tolerance;
  double absolute = 0;
  std::ifstream(folder / "tolerance.txt") >> tolerance.relative >> absolute;
  tolerance.absolute = std::max(tolerance.absolute, absolute);
  return tolerance;
}

/// Runs the data sets of a case: what is wrong, or ""; nullopt where an operator is not there.
std::optional<std::string> run_case(const fs::path& folder) {
  auto model = parsed<onnx::ModelProto>(read_bytes(folder / "model.onnx"));
  std::vector<onnx::TypeProto> inputs, outputs;
  std::set<std::string> initializers;
  for (const auto& tensor : model.graph().initializer()) initializers.insert(tensor.name());
  for (const auto& info : model.graph().input()) {
    if (!initializers.contains(info.name())) inputs.push_back(info.type());
  }
  for (const auto& info : model.graph().output()) outputs.push_back(info.type());
  const Graph graph = graph_from_proto(std::move(model), {});
  if (!is_covered(graph)) return std::nullopt;
  const Executor executor(graph);
  for (int set = 0; fs::exists(folder / cat("set_", set)); ++set) {
    const fs::path data = folder / cat("set_", set);
    RunValues given;
    for (size_t i = 0; i < inputs.size(); ++i) {
      given.push_back(read_value(data / cat("input_", i, ".pb"), inputs[i]));
    }
    const RunValues found = executor.run(given);
    if (found.size() != outputs.size()) return cat(found.size(), " outputs");
    for (size_t i = 0; i < outputs.size(); ++i) {
      const RunValue wanted = read_value(data / cat("output_", i, ".pb"), outputs[i]);
      const auto text = difference(wanted, found[i], read_tolerance(folder));
      if (!text.empty()) return cat("output ", i, ": ", text);
    }
  }
  return "";
}

std::optional<std::string> run_guarded(const fs::path& folder) {
  try {
    return run_case(folder);
  } catch (const Error& error) {
    return error.text();
  } catch (const std::exception& error) {
    return std::string(error.what());
  }
}

/// The folder with the cases of the suite; empty where they cannot be written here.
fs::path written_cases() {
  const char* python = std::getenv("NIWAKI_PYTHON");
  const char* source = std::getenv("NIWAKI_SOURCE_DIR");
  if (python == nullptr || source == nullptr) return {};
  const fs::path root = fs::temp_directory_path() / cat("niwaki_node_cases_", getpid());
  const std::string command = cat("'", python, "' '", source,
                                  "/tests/python/write_node_cases.py' '", root.string(), "' >/dev/null");
  return std::system(command.c_str()) == 0 ? root : fs::path();
}

TEST(OpTable, ListsAreSorted) {
  for (const auto entries : {activation_ops(), attention_ops(), contrib_ops(), control_flow_ops(),
                             convolution_ops(), detection_ops(), elementwise_ops(), generator_ops(),
                             indexing_ops(), linear_ops(), normalization_ops(), pooling_ops(),
                             quantization_ops(), recurrent_ops(), reduction_ops(), resize_ops(),
                             sequence_ops(), shape_ops()}) {
    for (size_t i = 1; i < entries.size(); ++i) {
      EXPECT_LT(std::tie(entries[i - 1].domain, entries[i - 1].op),
                std::tie(entries[i].domain, entries[i].op));
    }
  }
}

TEST(OpTable, FindsByDomainAndName) {
  EXPECT_NE(find_op("", "Conv"), nullptr);
  EXPECT_EQ(find_op("", "Conv"), find_op("ai.onnx", "Conv"));
  EXPECT_EQ(find_op("com.example", "Conv"), nullptr);
  EXPECT_EQ(find_op("", "conv"), nullptr);
}

TEST(OpTable, MissingInputsAreRefused) {
  Node node;
  node.op = "Relu";
  const OpCall call{node, 13, {}, {}};
  try {
    find_op("", "Relu")(call);
    FAIL();
  } catch (const ModelError& error) {
    EXPECT_EQ(error.code(), "E1107");
  }
}

// NIWAKI_NODE_CASES keeps the cases whose name contains it; NIWAKI_NODE_CASES_FOLDER has them written already.
TEST(OpTable, NodeCasesOfTheBackendSuite) {
  at::set_num_threads(1);                    // the tensors are small
  const char* given = std::getenv("NIWAKI_NODE_CASES_FOLDER");
  const fs::path root = given != nullptr ? fs::path(given) : written_cases();
  if (root.empty()) GTEST_SKIP() << "the Python package onnx is not there to write the cases";
  const char* filter = std::getenv("NIWAKI_NODE_CASES");
  std::set<fs::path> folders;
  for (const auto& entry : fs::directory_iterator(root)) folders.insert(entry.path());
  int num_run = 0;
  for (const fs::path& folder : folders) {
    const std::string name = folder.filename();
    if (kExceptions.contains(name) || (filter && name.find(filter) == name.npos)) continue;
    const auto problem = run_guarded(folder);
    if (!problem) continue;
    ++num_run;
    EXPECT_EQ(*problem, "") << name;
  }
  if (given == nullptr) fs::remove_all(root);
  std::printf("%d of %zu cases run\n", num_run, folders.size());
  EXPECT_GT(num_run, filter == nullptr ? 1000 : 0);
}

}  // namespace
}  // namespace niwaki
