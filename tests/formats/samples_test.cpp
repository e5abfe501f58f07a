#include "formats/samples.h"

#include "compress/error.h"
#include "formats/npy_writer.h"
#include "tests/formats/shared_data.h"
#include "tests/formats/temporary_folder.h"

namespace niwaki {
namespace {

using Samples = TemporaryFolder;

std::string npy_of_floats(const std::vector<float>& numbers) {
  std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (" + std::to_string(numbers.size() / 2) + ", 2), }";
  header.resize(117, ' ');
  header += '\n';
  std::string file = std::string("\x93NUMPY\1\0", 8) + static_cast<char>(header.size()) + '\0' + header;
  return file.append(reinterpret_cast<const char*>(numbers.data()), numbers.size() * 4);
}

TEST_F(Samples, ReadsOneArray) {
  const SampleArrays arrays = open_samples(put("x.npy", npy_of_floats({1, 2, 3, 4, 5, 6})));
  ASSERT_TRUE(arrays.contains("arr_0"));
  const SampleArray& array = *arrays.at("arr_0");
  EXPECT_EQ(array.dtype(), DType::float32);
  EXPECT_EQ(array.sizes(), (std::vector<int64_t>{3, 2}));
  EXPECT_TRUE(at::equal(array.rows(1, 2).tensor, at::tensor({3.f, 4.f, 5.f, 6.f}).reshape({2, 2})));
}

TEST_F(Samples, RefusesOtherFiles) {
  const auto code_of = [](const std::string& path) {
    try {
      open_samples(path);
      return std::string();
    } catch (const Error& error) {
      return error.code();
    }
  };
  EXPECT_EQ(code_of(put("x.bin", std::string("1,2\0,3", 6))), "E1714");
  EXPECT_EQ(code_of(put("x.png", "\x89PNG\r\n\x1a\n")), "E1714");
  EXPECT_EQ(code_of(put("pointer.npz", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n")), "E1714");
  EXPECT_EQ(code_of(put("empty.npz", "")), "E1714");
  EXPECT_EQ(code_of(at("missing.npz")), "E4004");
  EXPECT_EQ(code_of(put("short.npy", npy_of_floats({1, 2}).substr(0, 130))), "E1703");
}

TEST_F(Samples, KnowsTheFormByContent) {
  const SampleArrays rows = open_samples(put("rows.txt", "1,2,3\n4,5,6\n"), {}, {.label = "last"});
  EXPECT_EQ(rows.at("arr_0")->sizes(), (std::vector<int64_t>{2, 2}));
  EXPECT_EQ(rows.at("labels")->rows(1, 1).tensor.item<int64_t>(), 6);
  const SampleArrays bytes = open_samples(put("images", std::string("\0\0\10\2\0\0\0\1\0\0\0\2ab", 14)));
  EXPECT_EQ(bytes.at("arr_0")->rows(0, 1).tensor[0][1].item<int64_t>(), 'b');
  put("folder/a.npy", npy_of_floats({1, 2}));
  EXPECT_EQ(open_samples(at("folder/")).at("arr_0")->sizes(), (std::vector<int64_t>{1, 1, 2}));
}

TEST(SamplesOf, GivesRowsOfMemory) {
  const SampleArrays arrays = samples_of({{"x", at::arange(6).reshape({3, 2})}, {"rate", at::scalar_tensor(16000, at::kLong)}});
  EXPECT_TRUE(at::equal(arrays.at("x")->rows(2, 1).tensor, at::tensor({4, 5}).reshape({1, 2})));
  EXPECT_TRUE(arrays.at("rate")->sizes().empty());
  EXPECT_EQ(arrays.at("rate")->rows(0, 1).tensor.item<int64_t>(), 16000);
}

TEST(BundledSamples, HaveEqualCounts) {
  const char* source = std::getenv("NIWAKI_SOURCE_DIR");
  const auto path = std::filesystem::path(source ? source : ".") / "examples/models/digits_test.npz";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "no file " << path;
  const SampleArrays arrays = open_samples(path.string());
  ASSERT_TRUE(arrays.contains("labels"));
  for (const auto& [name, array] : arrays) EXPECT_EQ(array->sizes().at(0), arrays.at("labels")->sizes().at(0)) << name;
}

}  // namespace
}  // namespace niwaki
