#include "formats/onnx_vet.h"

#include <gtest/gtest.h>

#include <map>

#include "compress/error.h"
#include "compress/mapped_file.h"
#include "tests/formats/onnx_bytes.h"
#include "tests/formats/shared_data.h"

namespace niwaki {
namespace {

using namespace onnx_bytes;
namespace fs = std::filesystem;

std::string code_of(const std::string& bytes, const Limits& limits = {}) {
  try {
    vet_onnx(std::as_bytes(std::span(bytes)), limits, "m.onnx");
  } catch (const Error& error) {
    return error.code();
  }
  return "accepted";
}

TEST(OnnxVet, AcceptsASmallModel) { EXPECT_EQ(code_of(small_model()), "accepted"); }

TEST(OnnxVet, EveryTruncationIsRefusedOrAWholeModel) {
  const std::string model = small_model();
  for (size_t length = 0; length < model.size(); ++length) {
    const std::string code = code_of(model.substr(0, length));
    EXPECT_TRUE(code == "E1001" || code == "E1006" || code == "E1008" || code == "E1105")
        << length << " " << code;
  }
}

TEST(OnnxVet, EveryBitFlipEndsWithACodeOrIsAccepted) {
  const std::string model = small_model();
  std::map<std::string, int> codes;
  for (size_t bit = 0; bit < model.size() * 8; ++bit) {
    std::string flipped = model;
    flipped[bit / 8] ^= static_cast<char>(1 << bit % 8);
    ++codes[code_of(flipped)];
  }
  EXPECT_GT(codes["E1001"], 50);
  EXPECT_GT(codes["E1002"], 10);
  EXPECT_GT(codes["accepted"], 50);  // names, values, numbers of unknown fields
}

TEST(OnnxVet, PlaceNamesByteAndField) {
  const std::string node = text(1, "x") + number(6, 1);
  try {
    const std::string model = number(1, 8) + text(7, text(1, text(2, "y")) + text(1, node));
    vet_onnx(std::as_bytes(std::span(model)), {}, "m.onnx");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), "E1001");
    EXPECT_EQ(error.details().where, "m.onnx, byte 14, graph.node[1].doc_string");
  }
}

TEST(OnnxVet, WireRules) {
  EXPECT_EQ(code_of(small_model() + number(0, 1)), "E1001");
  EXPECT_EQ(code_of(small_model() + varint(99 << 3 | 3)), "E1001");  // group
  EXPECT_EQ(code_of(small_model() + text(99, "unknown") + number(98, 7)),
            "accepted");  // unknown fields are kept
  EXPECT_EQ(code_of(small_model() + varint(6 << 3) + std::string(10, '\xff')), "E1001");
  EXPECT_EQ(code_of(small_model() + varint(5 << 3) + std::string(9, '\xff') + "\x01"),
            "accepted");  // -1
  const auto weight = [](const std::string& fields) {
    return model_of(small_graph() + text(5, fields));
  };
  EXPECT_EQ(code_of(weight(number(1, 3) + number(1, 4))), "accepted");    // dims, not packed
  EXPECT_EQ(code_of(weight(text(4, std::string(8, '\0')))), "accepted");  // float_data, packed
  EXPECT_EQ(code_of(weight(text(4, std::string(7, '\0')))), "E1001");
  EXPECT_EQ(code_of(weight(text(7, "\x80"))), "E1001");
  EXPECT_EQ(code_of(weight(number(2, uint64_t{1} << 40))), "E1001");  // data_type cut to 32 bits
  EXPECT_EQ(code_of(weight(number(14, 2))), "E1001");                 // data_location nobody knows
  EXPECT_EQ(code_of(weight(varint(9 << 3 | 2) + varint(1000))), "E1002");
}

TEST(OnnxVet, SingularMessagesOnce) {
  EXPECT_EQ(code_of(small_model() + text(7, "")), "E1005");
  const std::string tensor = number(1, 1);
  const std::string twice = text(1, "x") + text(2, text(1, tensor) + text(4, ""));
  EXPECT_EQ(code_of(model_of(small_graph() + text(13, twice))), "E1005");
}

TEST(OnnxVet, HeaderRules) {
  EXPECT_EQ(code_of(number(1, 8) + text(8, number(2, 17))), "E1008");
  EXPECT_EQ(code_of(text(7, small_graph()) + text(8, number(2, 17))), "E1008");
  EXPECT_EQ(code_of(number(1, 8) + text(7, small_graph())), "E1105");
  EXPECT_EQ(code_of(number(1, 2) + text(7, small_graph())), "accepted");
  EXPECT_EQ(code_of(number(1, 15) + text(7, small_graph())), "E1009");
}

TEST(OnnxVet, DepthIsBounded) {
  const auto nested = [](int graphs) {
    std::string graph = text(2, "inner");
    for (int i = 1; i < graphs; ++i) graph = text(1, text(5, text(6, graph)));
    return model_of(graph);
  };
  EXPECT_EQ(code_of(nested(32)), "accepted");
  EXPECT_EQ(code_of(nested(33)), "E1003");
  Limits limits;
  limits.graph_depth = 1000;
  EXPECT_EQ(code_of(nested(35), limits), "E1003");
  std::string type = text(1, number(1, 1));
  for (int i = 0; i < 16; ++i) type = text(4, text(1, type));
  EXPECT_EQ(code_of(model_of(small_graph() + text(13, text(1, "v") + text(2, type)))), "E1003");
}

TEST(OnnxVet, GrowthIsBounded) {
  std::string nodes;
  for (int i = 0; i < 1000; ++i) nodes += text(1, "");
  Limits limits;
  EXPECT_EQ(code_of(model_of(nodes), limits), "accepted");
  limits.nodes = 999;
  EXPECT_EQ(code_of(model_of(nodes), limits), "E1004");
  limits = {};
  limits.proto_messages = 1000;
  EXPECT_EQ(code_of(model_of(nodes), limits), "E1004");
  EXPECT_EQ(code_of(model_of(small_graph() + text(1, text(1, std::string(5000, 'n'))))), "E1004");
  limits = {};
  limits.onnx_message_bytes = 10;
  EXPECT_EQ(code_of(small_model(), limits), "E1004");
}

TEST(OnnxVet, SampleFilesGiveTheirDocumentedCodes) {
  const fs::path hostile = shared_data() / "hostile";
  if (!fs::exists(hostile)) GTEST_SKIP() << "no sample files at " << hostile;
  const std::map<std::string, std::string> documented = {
      {"corrupt-model.onnx", "E1001"},      {"git_lfs_pointer_Yolo.onnx", "E1006"},
      {"icm-31000000518082.onnx", "E1001"}, {"bad_names.onnx", "E1008"},
      {"castmap-int64.onnx", "E1008"},      {"conv-float.onnx", "E1008"},
      {"mul_1.noopset.onnx", "E1105"}};
  int accepted = 0;
  for (const auto& entry : fs::recursive_directory_iterator(shared_data())) {
    const fs::path path = entry.path();
    const bool is_ort = path.extension() == ".ort";
    if (!is_ort && path.extension() != ".onnx") continue;
    const auto file = MappedFile::open(path.string());
    std::string code = "accepted";
    try {
      vet_onnx(file->bytes(), {}, path.string());
      ++accepted;
    } catch (const Error& error) {
      code = error.code();
    }
    const auto wanted = documented.find(path.filename().string());
    EXPECT_EQ(code, is_ort                       ? "E1006"
                    : wanted == documented.end() ? "accepted"
                                                 : wanted->second)
        << path;
  }
  EXPECT_GT(accepted, 900);
}

}  // namespace
}  // namespace niwaki
