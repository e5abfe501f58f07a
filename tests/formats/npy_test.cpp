#include "formats/npy.h"

#include <gtest/gtest.h>

#include <thread>

#include "formats/npy_header.h"
#include "formats/npy_writer.h"
#include "tests/formats/shared_data.h"
#include "tests/formats/zip_bytes.h"

namespace niwaki {
namespace {

using namespace zip_bytes;

Tensor numbers(at::IntArrayRef sizes) {
  return at::arange(c10::multiply_integers(sizes), at::kFloat).view(sizes);
}

TEST(Npy, ReadsRowsOfFilesAndContainers) {
  const Folder folder;
  const Tensor x = numbers({50, 3, 4});
  write_npy(folder.at("x.npy"), x);
  const std::string bytes = npy_bytes(x);
  folder.put("stored.npz", container({{"x.npy", bytes}}));
  folder.put("deflated.npz",
             container({{.name = "x.npy", .data = bytes, .deflate = true, .descriptor = true}}));
  for (const NpyArray& array :
       {open_npy(folder.at("x.npy")), open_npz(folder.at("stored.npz")).at("x"),
        open_npz(folder.at("deflated.npz")).at("x")}) {
    EXPECT_EQ(array.sizes(), (std::vector<int64_t>{50, 3, 4}));
    EXPECT_EQ(array.dtype(), DType::float32);
    for (const int64_t first : {40, 0, 7, 49})
      EXPECT_TRUE(array.rows(first, 1).equal(x.narrow(0, first, 1)));
    EXPECT_TRUE(array.rows(10, 30).equal(x.narrow(0, 10, 30)));
    EXPECT_TRUE(array.all().equal(x));
    EXPECT_EQ(array.rows(50, 0).size(0), 0);
    EXPECT_THROW(array.rows(49, 2), InternalError);
    EXPECT_THROW(array.rows(-1, 1), InternalError);
  }
}

TEST(Npy, ThreadsShareADeflatedArray) {
  const Folder folder;
  const Tensor x = numbers({64, 100});
  folder.put("a.npz", container({{.name = "x.npy", .data = npy_bytes(x), .deflate = true}}));
  const NpyArray array = open_npz(folder.at("a.npz")).at("x");
  std::vector<std::thread> threads;
  std::array<bool, 4> same{};
  for (size_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      same[t] = true;
      for (int64_t i = 0; i < 64; ++i)
        same[t] = same[t] && array.rows((i * 7 + static_cast<int64_t>(t)) % 64, 1)
                                 .equal(x.narrow(0, (i * 7 + static_cast<int64_t>(t)) % 64, 1));
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(same, (std::array{true, true, true, true}));
}

TEST(Npy, FortranOrderComesBackInCOrder) {
  const Folder folder;
  const Tensor x = numbers({3, 4, 5});
  std::string bytes = npy_bytes(x.permute({2, 1, 0}));
  bytes.replace(bytes.find("(5, 4, 3)"), 9, "(3, 4, 5)");
  bytes.replace(bytes.find("False"), 5, "True ");
  const NpyArray array = open_npy(folder.put("f.npy", bytes));
  EXPECT_TRUE(array.all().equal(x));
  EXPECT_TRUE(array.rows(1, 2).equal(x.narrow(0, 1, 2)));
}

TEST(Npy, BytesMustMatchTheHeader) {
  const Folder folder;
  const std::string good = npy_bytes(numbers({4, 4}));
  EXPECT_EQ(code_of([&] { open_npy(folder.put("a.npy", good + "x")); }), "E1703");
  EXPECT_EQ(code_of([&] { open_npy(folder.put("a.npy", good.substr(0, good.size() - 1))); }),
            "E1703");
  for (const std::vector<int64_t>& sizes :
       std::vector<std::vector<int64_t>>{{int64_t{1} << 62, 4},
                                         {0, int64_t{1} << 62, 8},
                                         {int64_t{1} << 61},
                                         {std::numeric_limits<int64_t>::max(), 2, 0}}) {
    EXPECT_EQ(code_of([&] { open_npy(folder.put("a.npy", npy_header("<f4", sizes))); }), "E1703")
        << shape_text(sizes);
  }
  EXPECT_EQ(code_of([&] { open_npy(folder.at("none.npy")); }), "E4004");
  EXPECT_EQ(code_of([&] { open_npy(folder.put("b.npy", npy_header("|b1", {1}) + "\2")).all(); }),
            "E1702");
}

TEST(Npy, ContainersHoldArraysOnly) {
  const Folder folder;
  EXPECT_EQ(code_of([&] { open_npz(folder.put("a.npz", container({{"readme.txt", "x"}}))); }),
            "E1701");
  EXPECT_EQ(code_of([&] { open_npz(folder.put("a.npz", "no zip at all, but long enough")); }),
            "E1605");
  EXPECT_EQ(code_of([&] {
              open_npz(folder.put(
                  "a.npz", container({{.name = "x.npy",
                                       .data = npy_bytes(numbers({4})),
                                       .change_payload = [](std::string& b) { b.back() ^= 1; }}})));
            }),
            "E1607");
}

TEST(Npy, TruncatedOrFlippedContainersEndWithACode) {
  const Folder folder;
  const std::string good =
      container({{"x.npy", npy_bytes(numbers({2}))},
                 {.name = "y.npy", .data = npy_bytes(numbers({3})), .deflate = true}});
  for (size_t length = 0; length < good.size(); length += 3) {
    EXPECT_NE(code_of([&] { open_npz(folder.put("a.npz", good.substr(0, length))); }), "accepted")
        << length;
  }
  for (size_t bit = 0; bit < good.size() * 8; bit += 5) {
    std::string flipped = good;
    flipped[bit / 8] ^= static_cast<char>(1 << bit % 8);
    code_of([&] {
      for (const auto& [name, array] : open_npz(folder.put("a.npz", flipped))) array.all();
    });
  }
}

TEST(Npy, SampleData) {
  const auto path = shared_data() / "datasets" / "cifar10" / "test.npz";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "no sample files at " << path;
  const auto arrays = open_npz(path.string());
  EXPECT_EQ(arrays.at("x").dtype(), DType::uint8);
  EXPECT_EQ(arrays.at("x").rows(5, 2).sizes().vec(), (std::vector<int64_t>{2, 3, 32, 32}));
  EXPECT_EQ(arrays.at("y").sizes()[0], arrays.at("x").sizes()[0]);
}

}  // namespace
}  // namespace niwaki
