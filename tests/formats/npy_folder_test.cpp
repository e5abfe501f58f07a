#include "formats/npy_folder.h"

#include "compress/error.h"
#include "formats/npy_writer.h"
#include "tests/formats/temporary_folder.h"

namespace niwaki {
namespace {

class NpyFolderTest : public TemporaryFolder {
 protected:
  void save(const std::string& name, const Tensor& array) {
    std::filesystem::create_directories((top_ / name).parent_path());
    write_npy(at(name), array);
  }
  void save_samples(const std::string& folder, int count) {
    for (int i = 0; i < count; ++i)
      save(cat(folder, "/s", i, ".npy"), at::full({2, 3}, i, at::kFloat));
  }
  std::string refusal(const std::string& folder) {
    try {
      open_npy_folder(at(folder));
      return "";
    } catch (const Error& error) {
      return cat(error.code(), ": ", error.message());
    }
  }
};

std::vector<double> labels_of(const SampleArrays& arrays) {
  const SampleArray& labels = *arrays.at("labels");
  const Tensor all = labels.rows(0, labels.sizes()[0]).tensor.to(at::kDouble).contiguous();
  return {all.const_data_ptr<double>(), all.const_data_ptr<double>() + all.numel()};
}

TEST_F(NpyFolderTest, ReadsFilesInTheOrderOfTheirNames) {
  save_samples("d", 4);
  put("d/.hidden", "x");
  const SampleArrays arrays = open_npy_folder(at("d"));
  ASSERT_EQ(arrays.size(), 1u);
  const SampleArray& x = *arrays.at("arr_0");
  EXPECT_EQ(x.dtype(), DType::float32);
  EXPECT_EQ(x.sizes(), (std::vector<int64_t>{4, 2, 3}));
  const Tensor rows = x.rows(1, 3).tensor;
  EXPECT_EQ(rows.sizes(), (std::vector<int64_t>{3, 2, 3}));
  EXPECT_TRUE(at::equal(rows.select(1, 0).select(1, 0), at::tensor({1.f, 2.f, 3.f})));
  EXPECT_EQ(x.rows(0, 0).tensor.sizes(), (std::vector<int64_t>{0, 2, 3}));
}

TEST_F(NpyFolderTest, ReadsOneFolderPerInput) {
  save_samples("d/image", 3);
  for (int i = 0; i < 3; ++i)
    save(cat("d/length/s", i, ".npy"), at::scalar_tensor(10 + i, at::kLong));
  save("d/labels.npy", at::tensor({4, 5, 6}, at::kLong));
  const SampleArrays arrays = open_npy_folder(at("d"));
  ASSERT_EQ(arrays.size(), 3u);
  EXPECT_EQ(arrays.at("image")->sizes(), (std::vector<int64_t>{3, 2, 3}));
  EXPECT_EQ(arrays.at("length")->sizes(), (std::vector<int64_t>{3}));
  EXPECT_EQ(arrays.at("length")->rows(2, 1).tensor.item<int64_t>(), 12);
  EXPECT_EQ(labels_of(arrays), (std::vector<double>{4, 5, 6}));
}

TEST_F(NpyFolderTest, ReadsLabelsOfACsv) {
  save_samples("d", 3);
  for (const char* text : {"7\n8\n9\n", "label\n7\n8\n9\n", "file,label\ns2.npy,9\ns0.npy,7\ns1.npy,8\n",
                           "s1.npy\t8\ns2.npy\t9\ns0.npy\t7\n"}) {
    put("d/labels.csv", text);
    const SampleArrays arrays = open_npy_folder(at("d"));
    EXPECT_EQ(labels_of(arrays), (std::vector<double>{7, 8, 9})) << text;
    EXPECT_EQ(arrays.at("labels")->dtype(), DType::int64);
  }
  put("d/labels.csv", "0.5\n1\n2\n");
  EXPECT_EQ(open_npy_folder(at("d")).at("labels")->dtype(), DType::float64);
}

TEST_F(NpyFolderTest, RefusesLabelsThatDoNotFit) {
  save_samples("d", 3);
  const auto with = [&](const std::string& text) {
    put("d/labels.csv", text);
    return refusal("d");
  };
  EXPECT_EQ(with("1\n2\n"), "E1706: there are fewer labels than samples");
  EXPECT_EQ(with("1\n2\n3\n4\n"), "E1706: there are more labels than samples");
  EXPECT_EQ(with("s0.npy,1\ns0.npy,1\ns1.npy,2\n"), "E1706: a sample has two labels");
  EXPECT_EQ(with("s0.npy,1\ns1.npy,1\nx.npy,2\n"), "E1706: there is no sample 'x.npy'");
  EXPECT_EQ(with("1\n2\nthree\n"), "E1707: a label is not a number");
  EXPECT_EQ(with("1\n2\nnan\n"), "E1707: a label is not a number");
  EXPECT_EQ(with("1,2,3\n4,5,6\n"), "E1706: a row has 3 columns");
  put("d/labels.npy", "");
  EXPECT_EQ(refusal("d"), "E1706: the folder holds labels.npy and labels.csv: which is meant?");
  std::filesystem::remove(top_ / "d/labels.csv");
  save("d/labels.npy", at::tensor({1, 2}, at::kLong));
  EXPECT_EQ(refusal("d"), "E1706: labels.npy has another count than there are samples");
}

TEST_F(NpyFolderTest, RefusesOtherFolders) {
  std::filesystem::create_directories(top_ / "empty");
  EXPECT_EQ(refusal("empty"), "E1712: the folder holds no .npy file");
  put("images/a.png", "x");
  EXPECT_EQ(refusal("images"), "E1714: the folder holds 'a.png', which is no .npy file");
  save_samples("mixed", 2);
  save_samples("mixed/more", 2);
  EXPECT_EQ(refusal("mixed"), "E1714: the folder holds .npy files and folders: which are the samples?");
  save_samples("two/a", 2);
  save_samples("two/b", 3);
  EXPECT_EQ(refusal("two"), "E1705: sub-folders hold files of different names");
  save_samples("deep/a/b", 2);
  EXPECT_EQ(refusal("deep"), "E1714: sub-folder 'a' must hold samples alone");
}

TEST_F(NpyFolderTest, RefusesDamagedAndUnlikeFiles) {
  save_samples("d", 3);
  const std::string whole = file_text(top_ / "d/s1.npy");
  put("d/s1.npy", whole.substr(0, whole.size() - 1));
  EXPECT_EQ(refusal("d").substr(0, 5), "E1703");
  put("d/s1.npy", "1,2,3");
  EXPECT_EQ(refusal("d").substr(0, 5), "E1701");
  save("d/s1.npy", at::zeros({2, 3}, at::kDouble));
  EXPECT_EQ(refusal("d"), "E1705: samples of a folder differ in shape or type");
  save("d/s1.npy", at::zeros({3, 2}));
  EXPECT_EQ(refusal("d"), "E1705: samples of a folder differ in shape or type");
}

TEST_F(NpyFolderTest, LooksAgainWhereAFileWasReplaced) {
  save_samples("d", 2);
  const SampleArrays arrays = open_npy_folder(at("d"));
  save("d/s1.npy", at::zeros({5}));
  EXPECT_NO_THROW(arrays.at("arr_0")->rows(0, 1));
  EXPECT_THROW(arrays.at("arr_0")->rows(0, 2), ModelError);
}

}  // namespace
}  // namespace niwaki
