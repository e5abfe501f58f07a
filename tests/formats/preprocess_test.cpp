#include "formats/preprocess.h"

#include <limits>

#include <nlohmann/json.hpp>

#include "compress/error.h"
#include "tests/formats/temporary_folder.h"

namespace niwaki {
namespace {

using PreprocessFile = TemporaryFolder;
using Layout = Preprocess::Layout;

std::string refusal(const Json& block) {
  try {
    parse_preprocess(block, "p.yaml");
    return "";
  } catch (const Error& error) {
    return cat(error.code(), ": ", error.message());
  }
}

TEST(PreprocessTest, ReadsNumbersAndLists) {
  const Preprocess p = parse_preprocess(
      {{"scale", 0.5}, {"mean", {1, 2.5, 3}}, {"std", {2}}, {"layout", "nhwc"}}, "p.yaml");
  EXPECT_EQ(p.scale, std::vector<double>{0.5});
  EXPECT_EQ(p.mean, (std::vector<double>{1, 2.5, 3}));
  EXPECT_EQ(p.std, std::vector<double>{2});
  EXPECT_EQ(p.layout, Layout::nhwc);
  EXPECT_TRUE(parse_preprocess(Json::object(), "").is_empty());
  EXPECT_TRUE(parse_preprocess({{"layout", "auto"}}, "").is_empty());
}

TEST(PreprocessTest, RefusesWhatItCannotDo) {
  for (const char* name : {"color", "resize", "crop"}) {
    EXPECT_EQ(refusal({{name, "x"}}),
              cat("E2002: '", name, "' of preprocess is not in this version"));
  }
  EXPECT_EQ(refusal({{"scales", 1}}), "E2004: unknown key 'scales' in preprocess");
  EXPECT_EQ(refusal({{"scale", "1"}}),
            "E2005: 'scale' is \"1\"; needed a number, or a list of one per channel");
  EXPECT_EQ(refusal({{"mean", Json::array()}}),
            "E2005: 'mean' is []; needed a number, or a list of one per channel");
  EXPECT_EQ(refusal({{"layout", "hwc"}}), "E2005: 'layout' is \"hwc\"; needed one of nchw|nhwc|auto");
  EXPECT_EQ(refusal(Json::array()), "E2005: preprocess is no block of keys");
  EXPECT_EQ(refusal({{"std", {1, 0}}}), "E2008: 'std' holds 0");
  EXPECT_EQ(refusal({{"std", 1e-60}}), "E2008: 'std' holds 1e-60");  // 0 as float32
  EXPECT_EQ(refusal({{"scale", 1e60}}), "E2008: 'scale' holds 1e+60");
}

TEST_F(PreprocessFile, ReadsYamlWithAndWithoutItsName) {
  const Preprocess bare = read_preprocess(put("a.yaml", "scale: 0.25\nlayout: nchw\n"));
  EXPECT_EQ(bare.scale, std::vector<double>{0.25});
  EXPECT_EQ(bare.layout, Layout::nchw);
  EXPECT_EQ(read_preprocess(put("b.yaml", "preprocess:\n  mean: [1, 2]\n")).mean,
            (std::vector<double>{1, 2}));
  const auto code_of = [&](const std::string& text, const Limits& limits = {}) {
    try {
      read_preprocess(put("c.yaml", text), limits);
      return std::string();
    } catch (const Error& error) {
      return error.code();
    }
  };
  EXPECT_EQ(code_of("scale: [1,"), "E2003");
  EXPECT_EQ(code_of("scale: 1\nscale: 2\n"), "E2006");
  EXPECT_EQ(code_of("- 1\n"), "E2005");
  EXPECT_EQ(code_of(""), "E2005");
  EXPECT_EQ(code_of("scale: 1 # padding", {.yaml_bytes = 8}), "E1004");
  EXPECT_THROW(read_preprocess(at("missing.yaml")), EnvironmentError);
}

TEST(PreprocessTest, CalculatesInFloat32InOrder) {
  const Tensor x = at::arange(12).to(at::kByte).reshape({1, 3, 2, 2});
  const Preprocess p{.scale = {0.1}, .mean = {0.5, 0.25, 1}, .std = {0.3, 0.7, 0.9}};
  const Tensor y = apply_preprocess(x, p, "x");
  ASSERT_EQ(y.scalar_type(), at::kFloat);
  for (int64_t i = 0; i < 12; ++i) {
    const size_t c = static_cast<size_t>(i / 4);
    const float scaled = static_cast<float>(i) * 0.1f;
    const float centred = scaled - static_cast<float>(p.mean[c]);
    const float wanted = centred / static_cast<float>(p.std[c]);
    EXPECT_EQ(y.flatten()[i].item<float>(), wanted) << i;
  }
}

TEST(PreprocessTest, FindsTheAxisOfChannels) {
  const auto axis = [](std::vector<int64_t> sizes, int64_t count, Layout layout) {
    return axis_of_channels(sizes, count, layout, "x");
  };
  EXPECT_EQ(axis({8, 3, 4, 4}, 3, Layout::automatic), 1);
  EXPECT_EQ(axis({8, 4, 4, 3}, 3, Layout::automatic), 3);
  EXPECT_EQ(axis({8, 5}, 5, Layout::automatic), 1);
  EXPECT_EQ(axis({8, 3, 3, 3}, 3, Layout::nchw), 1);
  EXPECT_EQ(axis({8, 3, 3, 3}, 3, Layout::nhwc), 3);
  EXPECT_THROW(axis({8, 3, 3, 3}, 3, Layout::automatic), UsageError);
  EXPECT_THROW(axis({8, 3, 4, 4}, 2, Layout::automatic), UsageError);
  EXPECT_THROW(axis({8, 3, 4, 4}, 3, Layout::nhwc), UsageError);
  EXPECT_THROW(axis({3}, 3, Layout::automatic), UsageError);
}

TEST(PreprocessTest, RefusesIntegersThatFloat32Lacks) {
  const Tensor odd = at::full({1, 1}, (int64_t{1} << 24) + 1, at::kLong);
  EXPECT_THROW(apply_preprocess(odd, {.scale = {1}}, "x"), ModelError);
  EXPECT_NO_THROW(apply_preprocess(odd - 1, {.scale = {1}}, "x"));
}

}  // namespace
}  // namespace niwaki
