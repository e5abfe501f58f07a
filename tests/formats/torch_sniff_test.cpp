#include "formats/torch_sniff.h"

#include <gtest/gtest.h>

#include "tests/formats/shared_data.h"
#include "tests/formats/zip_bytes.h"

namespace niwaki {
namespace {

using namespace std::string_literals;
using namespace zip_bytes;

const std::string kPlain = "\x80\2ccollections\nOrderedDict\n)R."s;
const std::string kForeign = "\x80\2cnet\nMyModel\n)\x81."s;

std::string code_of_entries(const std::vector<Entry>& entries) {
  const Folder folder;
  const std::string path = folder.put("m.pt", container(entries));
  return code_of([&] { refuse_torch_file(path); });
}

TEST(TorchSniff, KindsOfContainers) {
  EXPECT_EQ(code_of_entries({{"m/data.pkl", kPlain}, {"m/version", "3\n"}}), "E1502");
  EXPECT_EQ(code_of_entries({{"m/data.pkl", kForeign}}), "E1501");
  EXPECT_EQ(code_of_entries({{"m/data.pkl", kPlain}, {"m/code/__torch__.py", "x"}}), "E3201");
  EXPECT_EQ(code_of_entries({{"m/data.pkl", kForeign}, {"m/code/__torch__.py", "x"}}), "E1501");
  EXPECT_EQ(code_of_entries(
                {{"m/data.pkl", kPlain}, {"m/constants.pkl", kForeign}, {"m/code/a.py", "x"}}),
            "E1501");
  EXPECT_EQ(code_of_entries({{"serialized_exported_program.json", "{}"}}), "E1511");
  EXPECT_EQ(code_of_entries({{"m/archive_format", "pt2"}, {"m/data/weights/model.pt", "x"}}),
            "E1511");
  EXPECT_EQ(code_of_entries(
                {{"m/archive_format", "pt2"}, {"m/data/weights/model_weights_config.json", "{}"}}),
            "E3201");
  EXPECT_EQ(code_of_entries({{"readme.txt", "x"}}), "E1006");
  EXPECT_EQ(code_of_entries({{.name = "m/data.pkl",
                              .data = kPlain,
                              .change_payload = [](std::string& b) { b[5] ^= 1; }}}),
            "E1607");
}

TEST(TorchSniff, MessageNamesTheForeignClass) {
  const Folder folder;
  const std::string path = folder.put("m.pt", container({{"m/data.pkl", kForeign}}));
  try {
    refuse_torch_file(path);
  } catch (const Error& error) {
    EXPECT_EQ(
        error.message(),
        "this .pt file is a pickled Python module (it refers to 'net.MyModel'), not TorchScript");
    EXPECT_EQ(error.details().where, path + ", m/data.pkl, byte 2");
  }
}

TEST(TorchSniff, BarePickles) {
  const Folder folder;
  const auto code = [&](const std::string& bytes) {
    const std::string path = folder.put("m.pt", bytes);
    return code_of([&] { refuse_torch_file(path); });
  };
  const std::string legacy = "\x80\2\x8a\x0al\xfc\x9c\x46\xf9 j\xa8P\x19.\x80\2M\xe9\3.\x80\2}."s;
  EXPECT_EQ(code(legacy + kPlain), "E1502");
  EXPECT_EQ(code(legacy + kForeign), "E1501");
  EXPECT_EQ(code(legacy), "E1503");
  EXPECT_EQ(code(kForeign), "E1501");
  EXPECT_EQ(code("\x80\2}."s), "E1006");
}

TEST(TorchSniff, SampleFiles) {
  const auto root = shared_data();
  if (!std::filesystem::exists(root / "hostile")) GTEST_SKIP() << "no sample files at " << root;
  const auto code = [&](const char* path) {
    return code_of([&] { refuse_torch_file((root / path).string()); });
  };
  EXPECT_EQ(code("hostile/pickled_module_named_scripted.pt"), "E1501");
  EXPECT_EQ(code("models/cifar10_resnet20.state_dict.th"), "E1502");
  EXPECT_EQ(code("models/hades_pid_untrained.pt2"), "E1511");
  EXPECT_EQ(code("models/cifar10_resnet20.torchscript.pt"), "E3201");
}

}  // namespace
}  // namespace niwaki
