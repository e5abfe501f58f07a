#include "formats/sniff.h"

#include <gtest/gtest.h>

#include "compress/error.h"

namespace niwaki {
namespace {

std::string refusal(const std::string& text, bool as_text = false) {
  try {
    const auto bytes = std::as_bytes(std::span(text));
    as_text ? refuse_text_file(bytes, "m.onnx") : refuse_foreign_file(bytes, "m.onnx");
  } catch (const Error& error) {
    EXPECT_FALSE(error.details().help.empty());
    return error.code() + " " + error.message();
  }
  return "accepted";
}

TEST(Sniff, NamesWhatItIs) {
  using namespace std::string_literals;
  EXPECT_EQ(refusal("version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 257533020\n"),
            "E1006 this is a Git LFS pointer, not a model (72 bytes; the model has 257533020)");
  EXPECT_EQ(refusal("\x20\0\0\0ORTM...."s),
            "E1006 this is an ONNX Runtime model (.ort), not an ONNX model");
  EXPECT_EQ(refusal("\x1c\0\0\0TFL3...."s),
            "E1006 this is a TensorFlow Lite model, not an ONNX model");
  EXPECT_EQ(refusal("GGUF\3\0\0\0"s), "E1006 this is a GGUF file, not an ONNX model");
  EXPECT_EQ(refusal("\x1f\x8b\x08"), "E1006 this is a gzip file, not an ONNX model");
  EXPECT_EQ(refusal("\2\0\0\0\0\0\0\0{}"s),
            "E1006 this is a safetensors file: weights without a graph, not an ONNX model");
  EXPECT_EQ(refusal("\x08\x08:\0"s), "accepted");
}

TEST(Sniff, Text) {
  EXPECT_EQ(refusal("", true), "E1006 the file is empty");
  EXPECT_EQ(refusal("\n <!DOCTYPE HTML><title>404", true),
            "E1006 this is an HTML page, not an ONNX model");
  EXPECT_EQ(refusal("{\"a\": 1}", true), "E1006 this is a JSON file, not an ONNX model");
  EXPECT_EQ(refusal("hello", true), "E1001 the file is plain text, not an ONNX model");
  EXPECT_EQ(refusal("\x08\x08:", true), "accepted");
}

TEST(Sniff, TorchFiles) {
  const auto is_torch = [](const std::string& text) {
    return is_torch_file(std::as_bytes(std::span(text)));
  };
  EXPECT_TRUE(is_torch("PK\3\4rest"));
  EXPECT_TRUE(is_torch("\x80\2\x8a"));
  EXPECT_FALSE(is_torch("P"));
  EXPECT_FALSE(is_torch("\x08\x08"));
}

}  // namespace
}  // namespace niwaki
