#include "formats/format.h"

#include "compress/error.h"
#include "tests/formats/onnx_bytes.h"
#include "tests/formats/temporary_folder.h"
#include "tests/formats/zip_bytes.h"

namespace niwaki {
namespace {

using Formats = TemporaryFolder;

std::string code_of(const std::string& path, const ReadOptions& options = {}) {
  try {
    read_model(path, options);
    return "";
  } catch (const Error& error) {
    EXPECT_NE(error.text().find(path), std::string::npos) << error.text();
    return error.code();
  }
}

TEST_F(Formats, ContentDecidesNotTheName) {
  EXPECT_EQ(read_model(put("model.bin", onnx_bytes::small_model())).format, "onnx");
  EXPECT_EQ(code_of(put("page.onnx", "<!DOCTYPE html><html></html>")), "E1006");
  EXPECT_EQ(code_of(put("pointer.onnx", "version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 3\n")), "E1006");
  EXPECT_EQ(code_of(put("empty.onnx", "")), "E1006");
  EXPECT_EQ(code_of(put("gzip.onnx", "\x1f\x8b\x08 and more bytes")), "E1006");
}

TEST_F(Formats, ZipFilesAreNoOnnx) {
  const std::string code = code_of(put("model.onnx", std::string("PK\3\4 and no more", 17)));
  EXPECT_EQ(code.substr(0, 2), "E1");
}

TEST_F(Formats, FoldersAndMissingFiles) {
  EXPECT_EQ(code_of(at("missing.onnx")).substr(0, 2), "E4");
  EXPECT_NE(code_of(top_.string()), "");
}

TEST_F(Formats, LimitsAreHeld) {
  ReadOptions strict;
  strict.limits.nodes = 0;
  EXPECT_EQ(code_of(put("m.onnx", onnx_bytes::small_model()), strict), "E1004");
}

}  // namespace
}  // namespace niwaki
