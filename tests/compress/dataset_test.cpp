#include "compress/dataset.h"

#include "compress/error.h"
#include "formats/samples.h"
#include "tests/graph_builder.h"

#include <gtest/gtest.h>

#include <set>

namespace niwaki {
namespace {

Graph graph_of(Shape shape, DType dtype = DType::float32) {
  GraphBuilder b;
  b.output(b.node("Identity", {b.input("x", std::move(shape), dtype)}));
  return b.graph();
}
const Shape kRows = {std::string("n"), int64_t{2}};

Dataset dataset(const Graph& graph, const std::map<std::string, Tensor>& arrays, const Dataset::Options& options = {}) {
  return {graph, samples_of(arrays), options, "data.npz"};
}
Tensor numbered(int64_t count) { return at::arange(count * 2, at::kFloat).reshape({count, 2}); }

std::string refusal(const Graph& graph, const std::map<std::string, Tensor>& arrays, const Dataset::Options& options = {}) {
  try {
    const Dataset data = dataset(graph, arrays, options);
    for (int64_t i = 0; i < data.num_batches(); ++i) data.batch(i);
    return "";
  } catch (const Error& error) {
    return error.code() + ": " + error.what();
  }
}

TEST(Dataset, CutsSamplesIntoBatches) {
  const Dataset data = dataset(graph_of(kRows), {{"x", numbered(7)}}, {.batch = 3});
  EXPECT_EQ(data.num_samples(), 7);
  EXPECT_EQ(data.num_batches(), 3);
  EXPECT_FALSE(data.is_batch_fixed());
  std::vector<Tensor> parts;
  for (int64_t i = 0; i < 3; ++i) {
    parts.push_back(data.batch(i).inputs.at(0).tensor);
    EXPECT_EQ(data.batch(i).first, 3 * i);
  }
  EXPECT_EQ(data.batch(2).count, 1);
  EXPECT_TRUE(at::equal(at::cat(parts), numbered(7)));
}

TEST(Dataset, GathersSamplesInAnyOrder) {
  const Tensor labels = at::arange(9) * 10;
  for (const int64_t subset : {0, 6}) {
    const Graph graph = graph_of(kRows);
    const Dataset data = dataset(graph, {{"x", numbered(9)}, {"labels", labels}}, {.samples = subset, .batch = 3, .want_labels = true});
    const Tensor all = at::cat({data.batch(0).inputs[0].tensor, data.batch(1).inputs[0].tensor});
    const std::vector<int64_t> wanted{5, 0, 3, 2, 5};
    for (const Dataset& one : {data, data.in_memory(1 << 20), data.in_memory(10)}) {
      const Dataset::Batch batch = one.gather(wanted);
      EXPECT_EQ(batch.count, 5);
      EXPECT_TRUE(at::equal(batch.inputs[0].tensor, all.index_select(0, at::tensor(wanted))));
      EXPECT_TRUE(at::equal(batch.labels * 2, batch.inputs[0].tensor.select(1, 0).to(at::kLong) * 10));
      EXPECT_TRUE(at::equal(one.batch(1).inputs[0].tensor, data.batch(1).inputs[0].tensor));
    }
    EXPECT_THROW(data.gather(std::vector<int64_t>{subset == 0 ? 9 : 6}), InternalError);
    EXPECT_THROW(data.gather({}), InternalError);
  }
}

TEST(Dataset, GathersForAFixedBatch) {
  const Dataset data = dataset(graph_of({int64_t{4}, int64_t{2}}), {{"x", numbered(6)}}, {.batch = 32});
  const Dataset::Batch batch = data.gather(std::vector<int64_t>{4, 1});
  EXPECT_EQ(batch.count, 2);
  EXPECT_TRUE(at::equal(batch.inputs[0].tensor, at::tensor({8.f, 9.f, 2.f, 3.f, 2.f, 3.f, 2.f, 3.f}).reshape({4, 2})));
  EXPECT_THROW(data.gather(std::vector<int64_t>{0, 1, 2, 3, 4}), InternalError);
}

TEST(Dataset, FillsUpAFixedBatchWithTheLastSample) {
  const Dataset data = dataset(graph_of({int64_t{4}, int64_t{2}}), {{"x", numbered(6)}}, {.batch = 32});
  EXPECT_TRUE(data.is_batch_fixed());
  EXPECT_EQ(data.batch_size(), 4);
  const Dataset::Batch last = data.batch(1);
  EXPECT_EQ(last.count, 2);
  EXPECT_TRUE(at::equal(last.inputs[0].tensor, at::tensor({8.f, 9.f, 10.f, 11.f, 10.f, 11.f, 10.f, 11.f}).reshape({4, 2})));
}

TEST(Dataset, ChoosesASeededSubset) {
  const Graph graph = graph_of(kRows);
  const auto firsts = [&](uint64_t seed) {
    const Dataset data = dataset(graph, {{"x", numbered(100)}, {"labels", at::arange(100)}}, {.samples = 20, .seed = seed, .want_labels = true});
    EXPECT_EQ(data.num_samples(), 20);
    const Dataset::Batch batch = data.batch(0);
    EXPECT_TRUE(at::equal(batch.inputs[0].tensor.select(1, 0), 2.0 * batch.labels.to(at::kFloat)));   // labels stay with their samples
    const Tensor labels = batch.labels.contiguous();
    return std::vector<int64_t>(labels.const_data_ptr<int64_t>(), labels.const_data_ptr<int64_t>() + labels.numel());
  };
  const auto chosen = firsts(1);
  EXPECT_EQ(std::set<int64_t>(chosen.begin(), chosen.end()).size(), 20u);
  EXPECT_TRUE(std::is_sorted(chosen.begin(), chosen.end()));
  EXPECT_EQ(chosen, firsts(1));
  EXPECT_NE(chosen, firsts(2));
  EXPECT_EQ(dataset(graph, {{"x", numbered(5)}}, {.samples = 20}).num_samples(), 5);
}

TEST(Dataset, HeadIsTheFirstSamples) {
  const Dataset data = dataset(graph_of(kRows), {{"x", numbered(100)}}, {.samples = 20, .batch = 8});
  const Dataset head = data.head(3);
  EXPECT_EQ(head.num_samples(), 3);
  EXPECT_TRUE(at::equal(head.batch(0).inputs[0].tensor, data.batch(0).inputs[0].tensor.narrow(0, 0, 3)));
  EXPECT_EQ(data.head(1000).num_samples(), 20);
}

TEST(Dataset, CastsWithoutLoss) {
  const auto x = [](const Graph& graph, const Tensor& array) { return dataset(graph, {{"x", array}}).batch(0).inputs[0].tensor; };
  const Graph floats = graph_of(kRows), integers = graph_of(kRows, DType::int64);
  EXPECT_EQ(x(floats, numbered(2).to(at::kByte)).scalar_type(), at::kFloat);
  EXPECT_EQ(x(floats, numbered(2).to(at::kHalf)).scalar_type(), at::kFloat);
  EXPECT_EQ(x(floats, numbered(2).to(at::kDouble) / 3).scalar_type(), at::kFloat);
  EXPECT_EQ(x(integers, numbered(2).to(at::kInt)).scalar_type(), at::kLong);
  EXPECT_EQ(x(integers, numbered(2)).scalar_type(), at::kLong);
  EXPECT_EQ(refusal(integers, {{"x", numbered(2) / 4}}), "E1704: array 'x' is float32 and loses values as int64");
  EXPECT_EQ(refusal(graph_of(kRows, DType::uint8), {{"x", numbered(200)}}), "E1704: array 'x' is float32 and loses values as uint8");
}

TEST(Dataset, OneUnnamedArrayServesTheOnlyInput) {
  EXPECT_EQ(dataset(graph_of(kRows), {{"arr_0", numbered(3)}}).num_samples(), 3);
  EXPECT_NE(refusal(graph_of(kRows), {{"other", numbered(3)}}), "");
}

TEST(Dataset, FixedInputsAreNumbersOrZeros) {
  GraphBuilder b;
  const ValueId x = b.input("x", kRows), rate = b.input("rate", {}, DType::int64), state = b.input("state", {int64_t{2}, std::string("n"), int64_t{3}});
  b.output(b.node("Identity", {x}));
  b.output(b.node("Identity", {rate}));
  b.output(b.node("Identity", {state}));
  const Dataset::Batch batch = dataset(b.graph(), {{"x", numbered(2)}}, {.fixed = {{"rate", "16000"}, {"state", "zeros"}}}).batch(0);
  EXPECT_EQ(batch.inputs[1].tensor.item<int64_t>(), 16000);
  EXPECT_EQ(batch.inputs[1].tensor.dim(), 0);
  EXPECT_EQ(batch.inputs[2].tensor.sizes(), (std::vector<int64_t>{2, 1, 3}));
  EXPECT_EQ(refusal(b.graph(), {{"x", numbered(2)}}, {.fixed = {{"rate", "fast"}, {"state", "0"}}}),
            "E2005: data.npz: --input rate=fast: needed a number or 'zeros'");
}

TEST(Dataset, ArraysOfRankZeroServeEverySample) {
  GraphBuilder b;
  b.output(b.node("Identity", {b.input("x", kRows)}));
  b.output(b.node("Identity", {b.input("rate", {}, DType::int64)}));
  const Dataset data = dataset(b.graph(), {{"x", numbered(2)}, {"rate", at::scalar_tensor(8000, at::kInt)}});
  EXPECT_EQ(data.batch(0).inputs[1].tensor.item<int64_t>(), 8000);
  EXPECT_EQ(data.batch(0).inputs[1].tensor.scalar_type(), at::kLong);
}

TEST(Dataset, RefusesWithTheExactMessage) {
  const Graph graph = graph_of(kRows);
  EXPECT_EQ(refusal(graph, {{"y", numbered(2)}, {"z", numbered(2)}}), "E1704: data.npz: no array for input 'x' [n, 2]");
  EXPECT_EQ(refusal(graph, {{"x", at::zeros({4, 3})}}), "E1704: data.npz: array 'x' has shape [4, 3]; the input wants [n, 2]");
  EXPECT_EQ(refusal(graph, {{"x", at::zeros({4, 2, 1})}}), "E1704: data.npz: array 'x' has shape [4, 2, 1]; the input wants [n, 2]");
  EXPECT_EQ(refusal(graph, {{"x", at::zeros({0, 2})}}), "E1712: data.npz: the data holds no sample");
  EXPECT_EQ(refusal(graph, {{"x", numbered(4)}, {"labels", at::zeros({3})}}, {.want_labels = true}),
            "E1706: data.npz: labels have shape [3]; needed 4 along the first axis");
  EXPECT_EQ(refusal(graph, {{"x", numbered(4) / 0.0}}), "E1710: data.npz: array 'x' holds NaN or infinity");
  GraphBuilder b;
  b.output(b.node("Add", {b.input("x", kRows), b.input("y", kRows)}));
  EXPECT_EQ(refusal(b.graph(), {{"x", numbered(4)}, {"y", numbered(3)}}), "E1705: data.npz: array 'y' has 3 samples, 'x' has 4");
}

TEST(Dataset, EmptyArraysDoNotHideUnequalCounts) {
  GraphBuilder b;
  b.output(b.node("Add", {b.input("x", kRows), b.input("y", kRows)}));
  EXPECT_NE(refusal(b.graph(), {{"x", at::zeros({0, 2})}, {"y", numbered(3)}}), "");
}

TEST(Dataset, InputsWithoutTheSameFixedBatchAreRefused) {
  GraphBuilder b;
  b.output(b.node("Identity", {b.input("x", {int64_t{1}, int64_t{2}})}));
  b.output(b.node("Identity", {b.input("state", {int64_t{2}, int64_t{2}})}));
  EXPECT_EQ(refusal(b.graph(), {{"x", numbered(4)}, {"state", numbered(4)}}).substr(0, 5), "E1704");
}

}  // namespace
}  // namespace niwaki
