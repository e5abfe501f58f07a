#include "formats/onnx_reader.h"

#include "compress/error.h"
#include "compress/onnx/proto.h"
#include "tests/formats/onnx_bytes.h"
#include "tests/formats/shared_data.h"
#include "tests/formats/temporary_folder.h"
#include "tests/onnx_difference.h"

#include <gmock/gmock.h>
#include <onnx/onnx_pb.h>

#include <chrono>
#include <map>

namespace niwaki {
namespace {

using namespace onnx_bytes;
namespace fs = std::filesystem;

/// "" where the file loads, else the code of its refusal.
std::string code_of(const fs::path& path, const ReadOptions& options = {}) {
  try {
    read_model(path.string(), options);
    return "";
  } catch (const Error& error) {
    return error.code();
  }
}

class OnnxReader : public TemporaryFolder {
 protected:
  /// A MatMul whose weight of 64 numbers lies in `location`.
  std::string put_model(const std::string& location, const std::map<std::string, std::string>& more = {}) {
    onnx::ModelProto model;
    model.ParseFromString(small_model());
    auto& weight = *model.mutable_graph()->mutable_initializer(0);
    weight.clear_raw_data();
    weight.clear_dims();
    weight.add_dims(8);
    weight.add_dims(8);
    weight.set_data_location(onnx::TensorProto::EXTERNAL);
    auto& entry = *weight.add_external_data();
    entry.set_key("location");
    entry.set_value(location);
    for (const auto& [key, value] : more) {
      auto& one = *weight.add_external_data();
      one.set_key(key);
      one.set_value(value);
    }
    return put("box/m.onnx", model.SerializeAsString());
  }
};

TEST_F(OnnxReader, ReadsAModelWithItsFacts) {
  const std::string path = put("m.onnx", small_model());
  const Model model = read_model(path);
  EXPECT_EQ(model.path, path);
  EXPECT_EQ(model.format, "onnx");
  EXPECT_EQ(model.file_bytes, static_cast<int64_t>(small_model().size()));
  EXPECT_EQ(model.sha256.size(), 64u);
  EXPECT_TRUE(model.notes.empty());
  EXPECT_EQ(model.graph.all_nodes().size(), 1u);
  onnx::ModelProto original;
  original.ParseFromString(small_model());
  EXPECT_EQ(onnx_difference(original, graph_to_proto(model.graph)), "");
}

TEST_F(OnnxReader, ErrorsCarryThePath) {
  const std::string path = put("m.onnx", small_model().substr(0, 40));
  try {
    read_model(path);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code().substr(0, 3), "E10");
    EXPECT_THAT(error.details().where, testing::StartsWith(path));
  }
  EXPECT_EQ(code_of(at("missing.onnx")), "E4004");
}

TEST_F(OnnxReader, RefusesExternalDataOutsideTheFolder) {
  const std::string secret = put("secret.bin", std::string(256, 'x'));
  EXPECT_EQ(code_of(put_model("../secret.bin")), "E1201");
  EXPECT_EQ(code_of(put_model(secret)), "E1201");
  EXPECT_EQ(code_of(put_model("")), "E1201");
  fs::create_symlink(secret, top_ / "box/soft.bin");
  fs::create_hard_link(secret, top_ / "box/hard.bin");
  EXPECT_EQ(code_of(put_model("soft.bin")), "E1202");
  EXPECT_EQ(code_of(put_model("hard.bin")), "E1203");
  EXPECT_EQ(code_of(put_model("soft.bin"), {.allow_symlinks = true, .allow_hardlinks = true}), "");
  EXPECT_EQ(code_of(put_model("hard.bin"), {.allow_hardlinks = true}), "");
}

TEST_F(OnnxReader, RefusesExternalDataThatDoesNotFit) {
  put("box/w.bin", std::string(256, 'x'));
  EXPECT_EQ(code_of(put_model("w.bin")), "");
  EXPECT_EQ(code_of(put_model("w.bin", {{"offset", "0"}, {"length", "256"}})), "");
  EXPECT_EQ(code_of(put_model("w.bin", {{"offset", "1"}})), "E1204");
  EXPECT_EQ(code_of(put_model("w.bin", {{"offset", "18446744073709551615"}})), "E1204");
  EXPECT_EQ(code_of(put_model("w.bin", {{"length", "255"}})), "E1205");
  EXPECT_EQ(code_of(put_model("none.bin")), "E1208");
  for (const char* number : {"-1", "+1", " 1", "1x", "", "18446744073709551616"}) {
    EXPECT_EQ(code_of(put_model("w.bin", {{"offset", number}})), "E1209") << number;
  }
  EXPECT_EQ(code_of(put_model("w.bin", {{"colour", "red"}})), "E1209");
}

TEST_F(OnnxReader, ReportsExternalFilesAndTheirBytes) {
  put("box/w.bin", std::string(256, 'x'));
  const Model model = read_model(put_model("w.bin"));
  EXPECT_EQ(model.external_files, Strings{"w.bin"});
  EXPECT_EQ(model.file_bytes, static_cast<int64_t>(fs::file_size(at("box/m.onnx")) + 256));
}

TEST(ReadOnnxBytes, HasNoExternalData) {
  onnx::ModelProto model;
  model.ParseFromString(small_model());
  auto& weight = *model.mutable_graph()->mutable_initializer(0);
  weight.clear_raw_data();
  weight.set_data_location(onnx::TensorProto::EXTERNAL);
  const std::string bytes = model.SerializeAsString();
  try {
    read_onnx_bytes(std::as_bytes(std::span(bytes)), {});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), "E1208");
  }
}

}  // namespace
}  // namespace niwaki
