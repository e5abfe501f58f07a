#include "formats/fit_samples.h"

#include "compress/error.h"
#include "formats/reshapable_array.h"
#include "formats/samples.h"
#include "tests/formats/shared_data.h"
#include "tests/formats/temporary_folder.h"
#include "tests/graph_builder.h"

namespace niwaki {
namespace {

/// Samples in memory that say of themselves what idx, CSV or folders say.
class Given : public ReshapableArray {
 public:
  Given(Tensor array, bool fills) : array_(std::move(array)), fills_(fills) {}
  DType dtype() const override { return dtype_of(array_.scalar_type()); }
  std::vector<int64_t> sizes() const override { return array_.sizes().vec(); }
  bool fills_any_shape() const override { return fills_; }
  RunValue rows(int64_t first, int64_t count) const override {
    return RunValue(array_.narrow(0, first, count));
  }

 private:
  Tensor array_;
  bool fills_;
};

Graph graph_of(const Shape& shape, DType dtype = DType::float32) {
  GraphBuilder b;
  b.output(b.node("Identity", {b.input("x", shape, dtype)}));
  return b.graph();
}
const Shape kImage = {std::string("n"), int64_t{1}, int64_t{2}, int64_t{3}};

/// The sizes that an unnamed array gets for an input.
std::vector<int64_t> sizes_for(const Shape& shape, const Tensor& array, bool fills) {
  const SampleArrays fitted = fit_samples(
      graph_of(shape), {{"arr_0", std::make_shared<Given>(array, fills)}}, {}, {});
  const SampleArray& x = *fitted.at("x");
  const Tensor all = x.rows(0, x.sizes()[0]).tensor;
  EXPECT_EQ(all.sizes().vec(), x.sizes());
  EXPECT_TRUE(at::equal(all.flatten(), array.flatten()));
  return x.sizes();
}

using Sizes = std::vector<int64_t>;

TEST(FitSamples, FillsTheInputInOrder) {
  const Tensor bytes = at::arange(24).reshape({4, 2, 3});
  EXPECT_EQ(sizes_for(kImage, bytes, true), (Sizes{4, 1, 2, 3}));
  EXPECT_EQ(sizes_for({int64_t{1}, int64_t{6}}, bytes, true), (Sizes{4, 6}));
  EXPECT_EQ(sizes_for({int64_t{1}, int64_t{6}, int64_t{1}}, bytes, true), (Sizes{4, 6, 1}));
  EXPECT_EQ(sizes_for({int64_t{1}, std::string("w"), int64_t{2}}, bytes, true), (Sizes{4, 3, 2}));
  EXPECT_EQ(sizes_for({int64_t{1}, int64_t{2}, std::string("w")}, bytes, true), (Sizes{4, 2, 3}));
  EXPECT_EQ(sizes_for({int64_t{1}, int64_t{5}}, bytes, true), (Sizes{4, 2, 3}));  // Dataset refuses
  EXPECT_EQ(sizes_for({int64_t{1}, std::string("a"), int64_t{4}}, bytes, true), (Sizes{4, 2, 3}));
}

TEST(FitSamples, AddsAndDropsAxesOfOneAlone) {
  const Tensor samples = at::arange(24).reshape({4, 1, 2, 3});
  EXPECT_EQ(sizes_for({int64_t{1}, int64_t{2}, int64_t{3}}, samples, false), (Sizes{4, 2, 3}));
  EXPECT_EQ(sizes_for({int64_t{1}, int64_t{2}, int64_t{3}, int64_t{1}}, samples, false),
            (Sizes{4, 2, 3, 1}));
  EXPECT_EQ(sizes_for({int64_t{1}, int64_t{3}, int64_t{2}}, samples, false), (Sizes{4, 1, 2, 3}));
  EXPECT_EQ(sizes_for({int64_t{1}, int64_t{6}}, samples, false), (Sizes{4, 1, 2, 3}));
}

TEST(FitSamples, LeavesNamedArraysAlone) {
  const SampleArrays fitted = fit_samples(graph_of(kImage), samples_of({{"x", at::zeros({4, 6})}}), {}, {});
  EXPECT_EQ(fitted.at("x")->sizes(), (Sizes{4, 6}));
}

TEST(FitSamples, AnUnnamedArrayServesTheOnlyInputLeft) {
  GraphBuilder b;
  b.output(b.node("Identity", {b.input("x", kImage)}));
  b.output(b.node("Identity", {b.input("threshold", {})}));
  const SampleArrays arrays = samples_of({{"arr_0", at::zeros({4, 1, 2, 3})}, {"labels", at::zeros({4})}});
  EXPECT_TRUE(fit_samples(b.graph(), arrays, {}, {{"threshold", "0"}}).contains("x"));
  EXPECT_TRUE(fit_samples(b.graph(), arrays, {}, {{"threshold", "0"}}).contains("labels"));
  EXPECT_TRUE(fit_samples(b.graph(), arrays, {}, {}).contains("arr_0"));
}

TEST(FitSamples, PreprocessesFloatInputsAlone) {
  GraphBuilder b;
  b.output(b.node("Identity", {b.input("x", kImage)}));
  b.output(b.node("Identity", {b.input("ids", {std::string("n")}, DType::int64)}));
  const SampleArrays arrays = samples_of({{"x", at::full({2, 1, 2, 3}, 10, at::kByte)}, {"ids", at::arange(2)}});
  const SampleArrays fitted = fit_samples(b.graph(), arrays, {.scale = {0.5}, .mean = {1}, .std = {4}}, {});
  EXPECT_TRUE(at::equal(fitted.at("x")->rows(1, 1).tensor, at::ones({1, 1, 2, 3})));
  EXPECT_EQ(fitted.at("ids"), arrays.at("ids"));
  EXPECT_THROW(fit_samples(graph_of({std::string("n")}, DType::int64), samples_of({{"x", at::arange(2)}}), {.scale = {1}}, {}), UsageError);
}

TEST(FitSamples, PreprocessedNumbersHaveTheInputsType) {
  const SampleArrays fitted = fit_samples(graph_of(kImage, DType::float16), samples_of({{"x", at::ones({2, 1, 2, 3})}}), {.std = {3}}, {});
  EXPECT_EQ(fitted.at("x")->dtype(), DType::float16);
  const Tensor wanted = (at::ones({1, 1, 2, 3}) / 3).to(at::kHalf);
  EXPECT_TRUE(at::equal(fitted.at("x")->rows(0, 1).tensor, wanted));
}

TEST(FitSamples, TurnsImagesToTheLayoutAskedFor) {
  const Tensor nhwc = at::arange(2 * 4 * 5 * 3, at::kFloat).reshape({2, 4, 5, 3});
  const Graph graph = graph_of({std::string("n"), int64_t{3}, int64_t{4}, int64_t{5}});
  const auto fitted = [&](const Tensor& array, Preprocess::Layout layout) {
    return fit_samples(graph, samples_of({{"x", array}}), {.layout = layout}, {}).at("x");
  };
  const Tensor nchw = nhwc.permute({0, 3, 1, 2}).contiguous();
  const auto turned = fitted(nhwc, Preprocess::Layout::nchw);
  EXPECT_EQ(turned->sizes(), nchw.sizes().vec());
  EXPECT_TRUE(at::equal(turned->rows(0, 2).tensor, nchw));
  EXPECT_TRUE(at::equal(fitted(nchw, Preprocess::Layout::nchw)->rows(0, 2).tensor, nchw));
  EXPECT_EQ(fitted(nhwc, Preprocess::Layout::automatic)->sizes(), nhwc.sizes().vec());
  EXPECT_EQ(fitted(nhwc, Preprocess::Layout::nhwc)->sizes(), nhwc.sizes().vec());
}

TEST(FitSamples, WarnsOfBytesWithoutAScale) {
  const SampleArrays arrays = samples_of({{"x", at::tensor({3, 200, 7, 8, 9, 10}, at::kByte).reshape({1, 1, 2, 3})}});
  const auto note = [&](const Preprocess& preprocess, DType dtype = DType::float32) {
    Strings notes;
    fit_samples(graph_of(kImage, dtype), arrays, preprocess, {}, &notes);
    return notes.empty() ? "" : notes.at(0).substr(0, notes.at(0).find(" in the first"));
  };
  EXPECT_EQ(note({}), "W1715: array 'x' is uint8 and goes unscaled into a float input: numbers from 3 to 200");
  EXPECT_NE(note({.mean = {1}}), "");
  EXPECT_EQ(note({.scale = {1}}), "");
  EXPECT_EQ(note({}, DType::uint8), "");
}

TEST(FitSamples, FillsMnistIntoTheShapesOfRealModels) {
  const auto path = shared_data() / "datasets/mnist/t10k-images-idx3-ubyte.gz";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "no file " << path;
  const SampleArrays arrays = open_samples(path.string());
  const Tensor raw = arrays.at("arr_0")->rows(17, 2).tensor;
  EXPECT_EQ(raw.sizes(), (Sizes{2, 28, 28}));
  for (const Shape& shape : {Shape{int64_t{1}, int64_t{1}, int64_t{28}, int64_t{28}}, Shape{int64_t{1}, int64_t{784}, int64_t{1}}}) {
    Strings notes;
    const Graph graph = graph_of(shape);
    const Dataset data(graph, fit_samples(graph, arrays, {}, {}, &notes), {.want_labels = true}, "mnist");
    EXPECT_EQ(data.num_samples(), 10000);
    ASSERT_EQ(notes.size(), 1u);
    const Dataset::Batch batch = data.batch(0);
    EXPECT_TRUE(at::equal(batch.inputs[0].tensor.flatten(), arrays.at("arr_0")->rows(0, 1).tensor.to(at::kFloat).flatten()));
    EXPECT_EQ(batch.labels.item<int64_t>(), 7);
  }
}

}  // namespace
}  // namespace niwaki
