#include "formats/onnx_external_data.h"

#include "compress/error.h"
#include "tests/formats/temporary_folder.h"

#include <onnx/onnx_pb.h>

namespace niwaki {
namespace {

class ExternalDataTest : public TemporaryFolder {
 protected:
  void SetUp() override {
    TemporaryFolder::SetUp();
    put("m.onnx", "model");
    put("w.bin", "0123456789");
  }
  static onnx::TensorProto tensor(const std::vector<std::pair<std::string, std::string>>& entries) {
    onnx::TensorProto proto;
    for (const auto& [key, value] : entries) {
      auto& one = *proto.add_external_data();
      one.set_key(key);
      one.set_value(value);
    }
    return proto;
  }
  std::string read(const std::vector<std::pair<std::string, std::string>>& entries, int64_t bytes) {
    ExternalData external(at("m.onnx"), {});
    try {
      const Tensor numbers = external.read(tensor(entries), bytes);
      return {static_cast<const char*>(numbers.const_data_ptr()), static_cast<size_t>(numbers.numel())};
    } catch (const Error& error) {
      return error.code();
    }
  }
};

TEST_F(ExternalDataTest, ReadsTheRange) {
  EXPECT_EQ(read({{"location", "w.bin"}}, 10), "0123456789");
  EXPECT_EQ(read({{"location", "w.bin"}, {"offset", "3"}, {"length", "4"}}, 4), "3456");
  EXPECT_EQ(read({{"location", "w.bin"}, {"offset", "10"}}, 0), "");
}

TEST_F(ExternalDataTest, RefusesRangesOutsideTheFile) {
  EXPECT_EQ(read({{"location", "w.bin"}, {"offset", "3"}}, 8), "E1204");
  EXPECT_EQ(read({{"location", "w.bin"}, {"offset", "11"}}, 0), "E1204");
  EXPECT_EQ(read({{"location", "w.bin"}, {"offset", "18446744073709551614"}}, 4), "E1204");
  EXPECT_EQ(read({{"location", "w.bin"}, {"length", "5"}}, 4), "E1205");
}

TEST_F(ExternalDataTest, RefusesUnknownAndRepeatedKeys) {
  EXPECT_EQ(read({{"location", "w.bin"}, {"location", "w.bin"}}, 4), "E1209");
  EXPECT_EQ(read({{"location", "w.bin"}, {"Offset", "1"}}, 4), "E1209");
  EXPECT_EQ(read({{"offset", "1"}}, 4), "E1201");
}

TEST_F(ExternalDataTest, ChecksTheChecksum) {
  const std::string checksum = "87acec17cd9dcd20a716cc2cf67417b71c8a7016";      // sha1sum of 0123456789
  EXPECT_EQ(read({{"location", "w.bin"}, {"checksum", checksum}}, 10), "0123456789");
  EXPECT_EQ(read({{"location", "w.bin"}, {"checksum", "87ACEC17CD9DCD20A716CC2CF67417B71C8A7016"}}, 10), "0123456789");
  EXPECT_EQ(read({{"location", "w.bin"}, {"checksum", std::string(40, '0')}}, 10), "E1207");
}

TEST_F(ExternalDataTest, OpensEachFileOnceAndKeepsItMapped) {
  Tensor first, second;
  {
    ExternalData external(at("m.onnx"), {});
    first = external.read(tensor({{"location", "w.bin"}}), 4);
    second = external.read(tensor({{"location", "w.bin"}, {"offset", "4"}}), 4);
    EXPECT_EQ(external.files(), std::vector<std::string>{"w.bin"});
    EXPECT_EQ(external.file_bytes(), 10);
  }
  EXPECT_EQ(static_cast<const char*>(second.const_data_ptr()), static_cast<const char*>(first.const_data_ptr()) + 4);
  EXPECT_EQ(first[0].item<int>(), '0');
}

}  // namespace
}  // namespace niwaki
