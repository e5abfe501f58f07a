#include "compress/error.h"
#include "compress/random.h"
#include "formats/format.h"
#include "formats/onnx_reader.h"
#include "tests/formats/onnx_bytes.h"
#include "tests/formats/shared_data.h"
#include "tests/formats/temporary_folder.h"

#include <gtest/gtest.h>

#include <ctime>
#include <map>

namespace niwaki {
namespace {

namespace fs = std::filesystem;

struct Verdict {
  std::string code, text;                    // "": loads
  double cpu_seconds = 0;
};

Verdict verdict_of(const fs::path& path) {
  const std::clock_t begin = std::clock();
  Verdict verdict;
  try {
    const Model model = read_model(path.string());
    for (const std::string& file : model.external_files) {
      EXPECT_TRUE(file.find("..") == std::string::npos && file.front() != '/') << path << " read " << file;
    }
  } catch (const Error& error) {
    verdict = {error.code(), error.text()};
  }
  verdict.cpu_seconds = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
  return verdict;
}

// Every .onnx file that is refused, by the end of its path, with its code. ONNX Runtime loads four of them all the same:
// abs_0d_input and multinomial_float16 (two versions of one domain), gpt2_past (a value defined twice), icm-31000000518483.
const std::map<std::string, std::string> kRefused = {
    {"abs_0d_input", "E1105"},
    {"bad_names", "E1008"},
    {"castmap-int64", "E1008"},
    {"conv-float", "E1008"},
    {"corrupt-model", "E1001"},
    {"custom_ops/training_model", "E1105"},
    {"e2e/model_with_orig_ext_data", "E1208"},
    {"git_lfs_pointer_Yolo", "E1006"},
    {"gpt2_past", "E1102"},
    {"icm-31000000518082", "E1001"},
    {"icm-31000000518483", "E1107"},
    {"java-external-matmul", "E1208"},
    {"model_with_external_initializer_come_from_user", "E1208"},
    {"mul_1.noopset", "E1105"},
    {"multinomial_float16", "E1105"},
    {"test_arbitrary_external_file", "E1201"},
    {"test_evil_weights", "E1201"}};

/// The code that a file must be refused with; "": it loads.
std::string wanted_code(const fs::path& path) {
  if (path.filename() == "pickled_module_named_scripted.pt") return "E1501";
  const std::string whole = fs::path(path).replace_extension().string();
  for (const auto& [name, code] : kRefused) {
    if (whole.ends_with("/" + name)) return code;
  }
  return "";
}

class Hostile : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = shared_data() / "hostile";
    if (!fs::is_directory(folder_)) GTEST_SKIP() << "no folder " << folder_ << "; set NIWAKI_SHARED_DATA";
  }
  std::vector<fs::path> files() const {
    std::vector<fs::path> found;
    for (const auto& entry : fs::recursive_directory_iterator(folder_)) {
      if (entry.is_regular_file()) found.push_back(entry.path());
    }
    std::sort(found.begin(), found.end());
    return found;
  }
  fs::path folder_;
};

TEST_F(Hostile, ModelsMeetTheirVerdict) {
  for (const fs::path& path : files()) {
    if (path.extension() != ".onnx" && path.extension() != ".pt") continue;
    const Verdict verdict = verdict_of(path);
    EXPECT_EQ(verdict.code, wanted_code(path)) << path << "\n" << verdict.text;
  }
}

TEST_F(Hostile, EveryFileLoadsOrIsRefusedInASecond) {
  size_t loaded = 0;
  for (const fs::path& path : files()) {
    const Verdict verdict = verdict_of(path);
    loaded += verdict.code.empty();
    const char area = verdict.code.empty() ? '1' : verdict.code[1];
    EXPECT_TRUE(area == '1' || area == '3' || area == '4') << path << "\n" << verdict.text;
    EXPECT_LT(verdict.cpu_seconds, 1.0 + static_cast<double>(fs::file_size(path)) / 50e6) << path;
  }
  EXPECT_GT(loaded, files().size() * 9 / 10);
}

/// A documented refusal, or a model.
std::string code_of_bytes(const std::string& bytes) {
  try {
    read_onnx_bytes(std::as_bytes(std::span(bytes)), {});
    return "";
  } catch (const Error& error) {
    return error.code();
  }
}

/// Models with bodies, attributes of every type, sparse parts and external data, too, would be longer: this one has each.
std::string rich_model() {
  using namespace onnx_bytes;
  const std::string tensor = number(2, 7) + text(9, std::string(8, '\1'));
  const std::string constant = text(2, "c") + text(3, "k") + text(4, "Constant") + text(5, text(1, "value") + number(20, 4) + text(5, tensor));
  const std::string inner = text(1, text(1, "c") + text(2, "t") + text(4, "Identity")) + text(2, "b") + text(12, text(1, "t"));
  const std::string branch = text(1, "x") + text(2, "z") + text(4, "If") + text(5, text(1, "then_branch") + number(20, 5) + text(6, inner)) +
                             text(5, text(1, "else_branch") + number(20, 5) + text(6, inner));
  return model_of(text(1, constant) + text(1, branch) + small_graph() + text(13, value_info("z")));
}

TEST(Malformed, TheModelsAreValidAsTheyAre) {
  EXPECT_EQ(code_of_bytes(onnx_bytes::small_model()), "");
  EXPECT_EQ(code_of_bytes(rich_model()), "");
}

TEST(Malformed, EveryTruncationIsRefused) {
  for (const std::string& model : {onnx_bytes::small_model(), rich_model()}) {
    for (size_t length = 0; length < model.size(); ++length) {
      const std::string code = code_of_bytes(model.substr(0, length));
      EXPECT_TRUE(code.starts_with("E1")) << "first " << length << " bytes: " << code;
    }
  }
}

TEST(Malformed, EveryBitFlipIsRefusedOrAModel) {
  size_t loaded = 0, refused = 0;
  for (const std::string& model : {onnx_bytes::small_model(), rich_model()}) {
    for (size_t bit = 0; bit < model.size() * 8; ++bit) {
      std::string flipped = model;
      flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ 1 << bit % 8);
      const std::string code = code_of_bytes(flipped);
      ++(code.empty() ? loaded : refused);
      EXPECT_TRUE(code.empty() || code.starts_with("E1") || code.starts_with("E3")) << "bit " << bit << ": " << code;
    }
  }
  EXPECT_GT(loaded, 100u);                   // names and numbers may change
  EXPECT_GT(refused, 1000u);
}

/// A few bytes changed, removed, repeated or moved, by the seed.
std::string mutated(std::string bytes, uint64_t seed) {
  Generator random(seed, "malformed");
  for (uint64_t edits = 1 + random.below(4); edits > 0 && !bytes.empty(); --edits) {
    const size_t at = random.below(bytes.size()), length = std::min<size_t>(bytes.size() - at, 1 + random.below(16));
    switch (random.below(5)) {
      case 0: bytes[at] = static_cast<char>(random.below(256)); break;
      case 1: bytes[at] = static_cast<char>(bytes[at] ^ 1 << random.below(8)); break;
      case 2: bytes.erase(at, length); break;
      case 3: bytes.insert(at, bytes.substr(at, length)); break;
      default: bytes.insert(random.below(bytes.size()), bytes.substr(at, length)); break;
    }
  }
  return bytes;
}

TEST(Malformed, MutatedModelsAreRefusedOrModels) {
  const fs::path folder = shared_data() / "datasets/onnx_conformance";
  if (!fs::is_directory(folder)) GTEST_SKIP() << "no folder " << folder << "; set NIWAKI_SHARED_DATA";
  std::vector<fs::path> sources;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.path().filename() == "model.onnx" && entry.file_size() < 8192) sources.push_back(entry.path());
  }
  std::sort(sources.begin(), sources.end());
  ASSERT_FALSE(sources.empty());
  size_t loaded = 0, refused = 0;
  for (const fs::path& source : sources) {
    const std::string bytes = file_text(source);
    for (uint64_t seed = 0; seed < 60; ++seed) {
      const std::string code = code_of_bytes(mutated(bytes, seed));
      ++(code.empty() ? loaded : refused);
      EXPECT_TRUE(code.empty() || code.starts_with("E1") || code.starts_with("E3")) << source << " seed " << seed << ": " << code;
    }
  }
  EXPECT_GT(loaded, sources.size());
  EXPECT_GT(refused, 10 * sources.size());
}

}  // namespace
}  // namespace niwaki
