#include "formats/npy_writer.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "compress/mapped_file.h"
#include "formats/npy.h"
#include "tests/formats/zip_bytes.h"

namespace niwaki {
namespace {

using namespace zip_bytes;

void write_sample(const std::string& path) {
  NpzWriter writer(path);
  writer.add("/fc/output", at::arange(12, at::kFloat).view({3, 4}).t());
  writer.add("scalar", at::scalar_tensor(7, at::kLong));
  writer.add("flags", at::arange(2, at::kLong).to(at::kBool));
  writer.add("half", at::ones({2}, at::kHalf));
  writer.add("brain", at::full({2}, 1.5, at::kBFloat16));
  writer.add("empty", at::empty({0, 3}, at::kInt));
  writer.add_strings("words", {2}, {"caf\xc3\xa9", "\xf0\x9f\x8c\xb3!"});
  writer.commit();
}

TEST(NpzWriter, ReadsBackAndIsDeterministic) {
  const Folder folder;
  write_sample(folder.at("a.npz"));
  write_sample(folder.at("b.npz"));
  const auto a = MappedFile::open(folder.at("a.npz")), b = MappedFile::open(folder.at("b.npz"));
  EXPECT_TRUE(
      std::equal(a->bytes().begin(), a->bytes().end(), b->bytes().begin(), b->bytes().end()));
  const auto arrays = open_npz(folder.at("a.npz"));
  EXPECT_TRUE(arrays.at("/fc/output").all().equal(at::arange(12, at::kFloat).view({3, 4}).t()));
  EXPECT_EQ(arrays.at("scalar").all().item<int64_t>(), 7);
  EXPECT_EQ(arrays.at("flags").dtype(), DType::boolean);
  EXPECT_EQ(arrays.at("half").dtype(), DType::float16);
  EXPECT_EQ(arrays.at("brain").dtype(), DType::float32);
  EXPECT_EQ(arrays.at("brain").all()[1].item<float>(), 1.5f);
  EXPECT_EQ(arrays.at("empty").sizes(), (std::vector<int64_t>{0, 3}));
  EXPECT_EQ(arrays.at("words").all_strings(),
            (std::vector<std::string>{"caf\xc3\xa9", "\xf0\x9f\x8c\xb3!"}));
  EXPECT_EQ(arrays.at("words").string_rows(1, 1), (std::vector<std::string>{"\xf0\x9f\x8c\xb3!"}));
}

TEST(NpzWriter, LeavesNothingWithoutCommit) {
  const Folder folder;
  {
    NpzWriter(folder.at("a.npz")).add("x", at::ones({4}));
  }
  EXPECT_FALSE(std::filesystem::exists(folder.at("a.npz")));
}

TEST(NpzWriter, NumPyReadsIt) {
  const char* python = std::getenv("NIWAKI_PYTHON");
  if (python == nullptr) GTEST_SKIP() << "NIWAKI_PYTHON is not set";
  const Folder folder;
  write_sample(folder.at("a.npz"));
  write_npy(folder.at("x.npy"), at::arange(6, at::kDouble).view({2, 3}));
  const std::string script =
      "import numpy as n, sys; z = n.load(sys.argv[1] + '/a.npz'); x = n.load(sys.argv[1] + "
      "'/x.npy');"
      "assert z['/fc/output'].tolist() == n.arange(12).reshape(3, 4).T.tolist() and z['scalar'] == "
      "7;"
      "assert z['flags'].dtype == bool and z['words'].tolist() == ['caf\\u00e9', '\\U0001f333!'];"
      "assert z['empty'].shape == (0, 3) and (x == n.arange(6.).reshape(2, 3)).all()";
  EXPECT_EQ(std::system((std::string(python) + " -c \"" + script + "\" " + folder.at("")).c_str()),
            0);
}

}  // namespace
}  // namespace niwaki
