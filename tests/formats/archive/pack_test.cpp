#include "formats/archive/pack.h"

#include "compress/parallel.h"
#include "formats/archive/unpack.h"
#include "tests/formats/archive/archive_models.h"
#include "tests/formats/temporary_folder.h"

namespace niwaki::archive {
namespace {

class Pack : public TemporaryFolder {
 protected:
  static std::string model_in(const Bytes& archive) {
    const Unpacked unpacked = unpack_bytes(archive, {});
    return {reinterpret_cast<const char*>(unpacked.model().data()), unpacked.model().size()};
  }
};

TEST_F(Pack, GivesTheSameBytesBackWithEveryCodec) {
  const std::string model = sample_model(), path = put("m.onnx", model);
  for (const Codec codec : {Codec::automatic, Codec::zstd, Codec::rans}) {
    const Packed packed = pack_model(path, {.codec = codec});
    EXPECT_EQ(model_in(packed.archive), model);
    EXPECT_LT(packed.archive.size(), model.size());
    EXPECT_EQ(packed.original_bytes, model.size());
  }
}

TEST_F(Pack, StoresEqualPayloadsOnceAndCountsEveryByte) {
  const Packed packed = pack_model(put("m.onnx", sample_model()), {.codec = Codec::rans});
  EXPECT_EQ(packed.tensors.size(), 3u);      // mask, codes, floats
  uint64_t total = packed.index_bytes + packed.graph_coded_bytes;
  for (const PackedTensor& tensor : packed.tensors) {
    total += tensor.coded_bytes;
    EXPECT_LT(tensor.coded_bytes, tensor.bytes);
  }
  EXPECT_EQ(total, packed.archive.size());
  EXPECT_NE(packed.tensors[0].kind.find("sparse"), std::string::npos);
}

TEST_F(Pack, IsTheSameOnAnyNumberOfThreads) {
  const std::string path = put("m.onnx", sample_model());
  const int before = num_threads();
  set_num_threads(1);
  const Bytes one = pack_model(path).archive;
  set_num_threads(4);
  EXPECT_EQ(pack_model(path).archive, one);
  set_num_threads(before);
}

TEST_F(Pack, GrowsByTheHeaderAtMost) {
  Bytes noise(5000);
  std::mt19937 random(1);
  for (uint8_t& byte : noise) byte = static_cast<uint8_t>(random());
  for (const std::string& model : {onnx_bytes::small_model(), onnx_bytes::model_of(onnx_bytes::small_graph() + initializer("n", 2, 50, 100, noise))}) {
    EXPECT_LE(pack_model(put("m.onnx", model)).archive.size(), model.size() + 72);
  }
}

TEST_F(Pack, TakesExternalDataAlong) {
  const std::string data = "head" + string_of(normal_symbols(1200, 5)) + "tail";
  put("w.bin", data);
  const std::string model = onnx_bytes::model_of(onnx_bytes::small_graph() + external_initializer("w", "w.bin", 30, 40, 4));
  const Packed packed = pack_model(put("m.onnx", model));
  const Unpacked unpacked = unpack_bytes(packed.archive, {});
  EXPECT_EQ(model_in(packed.archive), model);
  ASSERT_EQ(unpacked.side_files.size(), 1u);
  EXPECT_EQ(unpacked.side_files[0].name, "w.bin");
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(unpacked.side_file(0).data()), unpacked.side_file(0).size()), data);
}

TEST_F(Pack, RefusesDataInFoldersAndFilesThatAreNoModels) {
  put("sub/w.bin", std::string(1300, 'x'));
  const std::string model = onnx_bytes::model_of(onnx_bytes::small_graph() + external_initializer("w", "sub/w.bin", 30, 40, 4));
  EXPECT_EQ(code_of([&] { pack_model(put("m.onnx", model)); }), "E1805");
  EXPECT_EQ(code_of([&] { pack_model(put("t.onnx", "some text")); }), "E1001");
}

}  // namespace
}  // namespace niwaki::archive
