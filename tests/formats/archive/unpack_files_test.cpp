#include "formats/archive/unpack_files.h"

#include "compress/atomic_file.h"
#include "compress/error.h"
#include "formats/archive/pack.h"
#include "tests/formats/archive/archive_models.h"
#include "tests/formats/temporary_folder.h"

namespace niwaki::archive {
namespace {

class UnpackFiles : public TemporaryFolder {
 protected:
  /// A model with its numbers in w.bin, packed; both files are gone afterwards.
  void pack_with_data() {
    data_ = "head" + string_of(normal_symbols(1200, 5));
    put("w.bin", data_);
    model_ = onnx_bytes::model_of(onnx_bytes::small_graph() + external_initializer("v", "w.bin", 30, 40, 4));
    const Packed own = pack_model(put("m.onnx", model_));
    write_file(at("m.niwaki"), std::as_bytes(std::span(own.archive)));
    std::filesystem::remove(at("w.bin"));
    std::filesystem::remove(at("m.onnx"));
  }
  std::string data_, model_;
};

TEST_F(UnpackFiles, WritesTheModelAndItsDataBesideIt) {
  pack_with_data();
  const WrittenFiles written = unpack_files(at("m.niwaki"), at("again.onnx"), {}, false);
  EXPECT_EQ(file_text(at("again.onnx")), model_);
  EXPECT_EQ(written.model_bytes, model_.size());
  ASSERT_EQ(written.data_paths, std::vector<std::string>{at("w.bin")});
  EXPECT_EQ(file_text(at("w.bin")), data_);
}

TEST_F(UnpackFiles, OverwritesOnlyWhenAsked) {
  pack_with_data();
  put("w.bin", "mine");
  EXPECT_THROW(unpack_files(at("m.niwaki"), at("again.onnx"), {}, false), UsageError);
  EXPECT_FALSE(std::filesystem::exists(at("again.onnx"))) << "nothing is written where one file may not be";
  EXPECT_EQ(file_text(at("w.bin")), "mine");
  unpack_files(at("m.niwaki"), at("again.onnx"), {}, true);
  EXPECT_EQ(file_text(at("w.bin")), data_);
}

TEST_F(UnpackFiles, TheModelCannotTakeTheNameOfItsData) {
  pack_with_data();
  EXPECT_THROW(unpack_files(at("m.niwaki"), at("w.bin"), {}, true), UsageError);
}

}  // namespace
}  // namespace niwaki::archive
