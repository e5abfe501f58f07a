#include "formats/idx.h"

#include <zlib.h>

#include "compress/error.h"
#include "tests/formats/temporary_folder.h"

namespace niwaki {
namespace {

std::string header(std::initializer_list<uint32_t> sizes, char type = 8) {
  std::string bytes{0, 0, type, static_cast<char>(sizes.size())};
  for (const uint32_t size : sizes) {
    for (const int shift : {24, 16, 8, 0}) bytes += static_cast<char>(size >> shift & 255);
  }
  return bytes;
}

std::string counting(size_t count) {
  std::string bytes;
  for (size_t i = 0; i < count; ++i) bytes += static_cast<char>(i & 255);
  return bytes;
}

std::string gzip(const std::string& bytes) {
  z_stream stream{};
  deflateInit2(&stream, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
  std::string out(bytes.size() + 1024, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  const std::string result = out.substr(0, stream.total_out);
  deflateEnd(&stream);
  return result;
}

class Idx : public TemporaryFolder {
 protected:
  std::string refusal(const std::string& bytes, const Limits& limits = {}) {
    try {
      open_idx(put("x-idx", bytes), limits);
      return "";
    } catch (const Error& error) {
      return cat(error.code(), ": ", error.message());
    }
  }
};

TEST_F(Idx, ReadsPlainAndCompressedFiles) {
  const std::string bytes = header({5, 2, 3}) + counting(30);
  const Tensor wanted = at::arange(30).to(at::kByte).reshape({5, 2, 3});
  for (const std::string& path : {put("plain", bytes), put("packed.gz", gzip(bytes))}) {
    const SampleArrays arrays = open_idx(path);
    EXPECT_EQ(arrays.size(), 1u);
    const SampleArray& x = *arrays.at("arr_0");
    EXPECT_EQ(x.dtype(), DType::uint8);
    EXPECT_EQ(x.sizes(), (std::vector<int64_t>{5, 2, 3}));
    EXPECT_TRUE(at::equal(x.rows(0, 5).tensor, wanted));
    EXPECT_TRUE(at::equal(x.rows(3, 1).tensor, wanted.narrow(0, 3, 1)));
  }
}

TEST_F(Idx, FindsLabelsByName) {
  const std::string images = header({3, 1, 1}) + counting(3), labels = header({3}) + "\7\10\11";
  put("a-labels-idx1-ubyte.gz", gzip(labels));
  put("b-labels.idx1-ubyte", labels);
  for (const std::string& path : {put("a-images-idx3-ubyte.gz", gzip(images)),
                                  put("a-images-idx3-ubyte", images),
                                  put("b-images.idx3-ubyte", images)}) {
    const SampleArrays arrays = open_idx(path);
    ASSERT_TRUE(arrays.contains("labels")) << path;
    EXPECT_TRUE(at::equal(arrays.at("labels")->rows(0, 3).tensor, at::tensor({7, 8, 9}, at::kLong)));
  }
  EXPECT_FALSE(open_idx(put("c-images-idx3-ubyte", images)).contains("labels"));
}

TEST_F(Idx, RefusesEveryTruncation) {
  const std::string bytes = header({5, 2, 3}) + counting(30), packed = gzip(bytes);
  for (size_t i = 0; i < bytes.size(); ++i)
    EXPECT_EQ(refusal(bytes.substr(0, i)).substr(0, 5), "E1708") << i;
  for (size_t i = 2; i < packed.size(); ++i)
    EXPECT_EQ(refusal(packed.substr(0, i)).substr(0, 5), "E1708") << i;
}

TEST_F(Idx, RefusesWrongCounts) {
  const std::string more = "E1708: the idx file has more or fewer bytes than its header says";
  EXPECT_EQ(refusal(header({5, 2, 3}) + counting(31)), more);
  const std::string inflated =
      "E1708: the gzip data inflates to more or fewer bytes than its idx header says";
  EXPECT_EQ(refusal(gzip(header({5, 2, 3}) + counting(31))), inflated);
  EXPECT_EQ(refusal(gzip(header({5, 2, 3}) + counting(29))), inflated);
  EXPECT_EQ(refusal(gzip(header({2}) + counting(2)) + "x"),
            "E1708: there are bytes behind the gzip data");
}

TEST_F(Idx, RefusesHostileHeaders) {
  EXPECT_EQ(refusal(header({5, 2}, 13) + counting(40)),
            "E1708: the idx file has elements of another type than bytes");
  EXPECT_EQ(refusal(gzip("1,2,3\n4,5,6\n")), "E1708: the content is no idx file");
  EXPECT_EQ(refusal(std::string("\0\0\10\0", 4)), "E1708: the idx file has no usable rank");
  EXPECT_EQ(refusal(std::string("\0\0\10\xff", 4) + counting(2000)),
            "E1708: the idx file has no usable rank");
  EXPECT_EQ(refusal(header({5, 0, 3})), "E1708: the idx file has samples without elements");
  for (const auto& sizes : {header({0xffffffff, 0xffffffff, 0xffffffff}),
                            header({0, 0xffffffff, 0xffffffff, 0xffffffff})}) {
    EXPECT_EQ(refusal(sizes), "E1708: the idx header announces more bytes than any file has");
    EXPECT_EQ(refusal(gzip(sizes)), "E1708: the idx header announces more bytes than any file has");
  }
}

TEST_F(Idx, BoundsWhatIsInflated) {
  // a header that announces much, before anything of that size is allocated
  EXPECT_EQ(refusal(gzip(header({1u << 20, 1u << 10}))), "E1004: limit 'inflated_bytes' is exceeded");
  EXPECT_EQ(refusal(gzip(header({100, 1000}))), "E1004: limit 'inflate_ratio' is exceeded");
  const std::string zeros = gzip(header({1000, 1000}) + std::string(1000000, '\0'));
  EXPECT_EQ(refusal(zeros), "E1004: limit 'inflate_ratio' is exceeded");
  EXPECT_EQ(refusal(zeros, {.inflate_ratio = 2000}), "");
  EXPECT_EQ(refusal(zeros, {.inflated_bytes = 999999, .inflate_ratio = 2000}),
            "E1004: limit 'inflated_bytes' is exceeded");
}

TEST_F(Idx, IsKnownByItsHead) {
  EXPECT_TRUE(is_idx(header({5, 2, 3})));
  EXPECT_TRUE(is_idx(gzip("x")));
  EXPECT_FALSE(is_idx(""));
  EXPECT_FALSE(is_idx("PK\3\4"));
}

}  // namespace
}  // namespace niwaki
