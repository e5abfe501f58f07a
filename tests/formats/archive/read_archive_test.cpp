#include "formats/archive/read_archive.h"

#include "compress/atomic_file.h"
#include "compress/graph_text.h"
#include "formats/archive/pack.h"
#include "tests/formats/archive/archive_models.h"
#include "tests/formats/temporary_folder.h"

namespace niwaki::archive {
namespace {

class ReadArchive : public TemporaryFolder {
 protected:
  std::string packed(const std::string& model) {
    const Packed own = pack_model(put("m.onnx", model));
    write_file(at("m.niwaki"), std::as_bytes(std::span(own.archive)));
    return at("m.niwaki");
  }
};

TEST_F(ReadArchive, IsReadLikeTheModelInIt) {
  const std::string path = packed(sample_model());
  const Model model = read_model(path);
  EXPECT_EQ(model.format, "niwaki");
  EXPECT_EQ(model.path, path);
  EXPECT_EQ(static_cast<size_t>(model.file_bytes), file_text(path).size());
  EXPECT_EQ(text(model.graph), text(read_model(at("m.onnx")).graph));
}

TEST_F(ReadArchive, ReadsExternalDataFromTheArchiveAlone) {
  put("w.bin", "head" + string_of(normal_symbols(1200, 5)));
  const std::string path = packed(onnx_bytes::model_of(onnx_bytes::small_graph() + external_initializer("v", "w.bin", 30, 40, 4)));
  const std::string before = text(read_model(at("m.onnx")).graph);
  std::filesystem::remove(at("w.bin"));
  const size_t files = num_files();
  EXPECT_EQ(text(read_model(path).graph), before);
  EXPECT_EQ(num_files(), files);
}

TEST_F(ReadArchive, SaysWhichArchiveIsDamaged) {
  const std::string path = packed(sample_model());
  std::string bytes = file_text(path);
  bytes.back() ^= 1;
  put("m.niwaki", bytes);
  try {
    read_model(path);
    FAIL();
  } catch (const ModelError& error) {
    EXPECT_EQ(error.code(), "E1803");
    EXPECT_NE(error.text().find("m.niwaki"), std::string::npos);
  }
}

TEST_F(ReadArchive, LeavesNothingBehindForOtherPrograms) {
  const std::string path = packed(sample_model());
  std::string place;
  {
    const RunnableModel runnable(path, {});
    place = runnable.path();
    EXPECT_NE(place, path);
    EXPECT_EQ(file_text(place), sample_model());
  }
  EXPECT_FALSE(std::filesystem::exists(place));
  EXPECT_EQ(RunnableModel(at("m.onnx"), {}).path(), at("m.onnx"));
}

}  // namespace
}  // namespace niwaki::archive
