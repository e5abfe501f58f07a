#include "formats/archive/hole_finder.h"

#include <map>

#include "tests/formats/archive/archive_samples.h"
#include "tests/formats/onnx_bytes.h"

namespace niwaki::archive {
namespace {

using onnx_bytes::number;
using onnx_bytes::text;
using onnx_bytes::varint;

std::vector<Hole> holes_of(const std::string& model) { return find_holes(std::as_bytes(std::span(model))); }
std::string bytes_of(const std::string& model, const Hole& hole) { return model.substr(hole.offset, hole.bytes); }
std::string tensor(const std::string& name, uint64_t type, const std::string& rest) {
  return text(1, varint(3) + varint(4)) + number(2, type) + text(8, name) + rest;
}

TEST(HoleFinder, FindsRawAndPackedNumbersOfInitializers) {
  const std::string raw(48, 'r'), packed(48, 'f'), codes(12, 'c');
  const std::string model = onnx_bytes::model_of(onnx_bytes::small_graph() + text(5, tensor("a", 1, text(9, raw))) + text(5, tensor("b", 1, text(4, packed))) +
                                                 text(5, tensor("c", 3, text(9, codes))) + text(5, tensor("s", 8, text(6, "word"))));
  std::map<std::string, Hole> by_name;
  for (const Hole& hole : holes_of(model)) by_name[hole.name] = hole;
  EXPECT_EQ(by_name.size(), 4u);             // the small graph's own and three; no strings
  EXPECT_EQ(bytes_of(model, by_name["a"]), raw);
  EXPECT_TRUE(by_name["a"].layout.is_float);
  EXPECT_EQ(by_name["a"].layout.columns, 4u);
  EXPECT_EQ(bytes_of(model, by_name["b"]), packed);
  EXPECT_EQ(by_name["b"].layout.bits, 32);
  EXPECT_EQ(bytes_of(model, by_name["c"]), codes);
  EXPECT_EQ(by_name["c"].layout.bits, 8);
}

TEST(HoleFinder, FindsTensorsInAttributesAndBodies) {
  const std::string inner = text(9, std::string(48, 'x'));
  const std::string constant = text(2, "k") + text(4, "Constant") + text(5, text(1, "value") + text(5, tensor("deep", 1, inner)) + number(20, 4));
  const std::string body = text(1, constant) + text(2, "body");
  const std::string branch = text(1, "c") + text(2, "z") + text(4, "If") + text(5, text(1, "then_branch") + text(6, body) + number(20, 5));
  const std::string model = onnx_bytes::model_of(onnx_bytes::small_graph() + text(1, branch));
  bool is_found = false;
  for (const Hole& hole : holes_of(model)) is_found |= hole.name == "deep" && bytes_of(model, hole) == std::string(48, 'x');
  EXPECT_TRUE(is_found);
}

TEST(HoleFinder, NamesRangesOfExternalData) {
  const auto entry = [](const std::string& key, const std::string& value) { return text(13, text(1, key) + text(2, value)); };
  const std::string external = tensor("e", 7, number(14, 1) + entry("location", "w.bin") + entry("offset", "16") + entry("length", "96"));
  const std::string open = tensor("o", 1, number(14, 1) + entry("location", "o.bin"));
  for (const Hole& hole : holes_of(onnx_bytes::model_of(onnx_bytes::small_graph() + text(5, external) + text(5, open)))) {
    if (hole.name == "e") {
      EXPECT_EQ(hole.location, "w.bin");
      EXPECT_EQ(hole.offset, 16u);
      EXPECT_EQ(hole.bytes, 96u);
      EXPECT_EQ(hole.layout.bits, 64);
    }
    if (hole.name == "o") {
      EXPECT_EQ(hole.location, "o.bin");
      EXPECT_EQ(hole.bytes, 0u);
    }
  }
}

}  // namespace
}  // namespace niwaki::archive
