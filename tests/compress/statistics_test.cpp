#include "compress/statistics.h"

#include "compress/error.h"
#include "compress/parallel.h"
#include "formats/samples.h"
#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

struct Net {
  ValueId x, h, y;
  Graph graph;
};

/// x [n, 4, 6, 6] -> Conv (group 2, stride 2, padded unevenly) h -> Relu y
Net convolution_net(const std::map<std::string, Attribute>& attributes, Dim batch = std::string("n")) {
  GraphBuilder b;
  const ValueId x = b.input("x", {batch, int64_t{4}, int64_t{6}, int64_t{6}});
  const ValueId h = b.node("Conv", {x, b.random_constant("w", {6, 2, 3, 3})}, attributes);
  const ValueId y = b.node("Relu", {h});
  b.output(y);
  return {x, h, y, b.graph()};
}
const std::map<std::string, Attribute> kUneven = {{"group", int64_t{2}}, {"strides", std::vector<int64_t>{2, 1}}, {"pads", std::vector<int64_t>{1, 0, 0, 2}}};

Statistics collect_all(const Net& net, const Tensor& samples, int64_t batch, int threads) {
  set_num_threads(threads);
  const Dataset data(net.graph, samples_of({{"x", samples}}), {.batch = batch}, "data");
  Wanted wanted{.ranges = {net.x}, .histograms = {net.h, net.y}, .channels = {{net.h, 1}}, .input_means = linear_views(net.graph)};
  Progress progress;
  const Executor executor(net.graph);
  Statistics found = collect(executor, net.graph, data, wanted, progress);
  set_num_threads(0);
  return found;
}

void expect_close(const Tensor& a, const Tensor& b) { EXPECT_LT(relative_difference(a, b), 1e-12); }

TEST(Statistics, AreThoseOfAllSamplesAtOnce) {
  const Net net = convolution_net(kUneven);
  const Tensor samples = random_tensor({37, 4, 6, 6});
  const Statistics found = collect_all(net, samples, 5, 2);
  const Tensor y = run_graph(net.graph, {samples})[0];
  EXPECT_EQ(found.num_samples(), 37);
  EXPECT_EQ(found.range(net.x).low, samples.min().item<float>());
  EXPECT_EQ(found.range(net.x).high, samples.max().item<float>());
  EXPECT_EQ(found.range(net.y).low, 0);
  Histogram whole;
  whole.add(y);
  EXPECT_EQ(found.histogram(net.y).total(), y.numel());
  EXPECT_FALSE(found.histogram(net.y).is_signed());
  EXPECT_NEAR(found.histogram(net.y).high(), y.max().item<float>(), 1e-5);
}

TEST(Statistics, AreTheSameOnAnyNumberOfThreads) {
  const Net net = convolution_net(kUneven);
  const Tensor samples = random_tensor({100, 4, 6, 6}, 3);
  const Statistics one = collect_all(net, samples, 3, 1);
  for (const int threads : {2, 4}) {
    const Statistics many = collect_all(net, samples, 3, threads);
    for (const ValueId id : {net.h, net.y}) EXPECT_EQ(one.histogram(id).counts(), many.histogram(id).counts());
    const NodeId node = net.graph.main().nodes[0];
    EXPECT_TRUE(at::equal(one.input_mean(node), many.input_mean(node)));
    EXPECT_TRUE(at::equal(one.channels(net.h).sum, many.channels(net.h).sum));
    EXPECT_TRUE(at::equal(one.channels(net.h).sum_square, many.channels(net.h).sum_square));
  }
}

TEST(Statistics, DoNotDependOnTheBatchSplit) {
  const Net net = convolution_net(kUneven);
  const Tensor samples = random_tensor({41, 4, 6, 6}, 4);
  const Statistics whole = collect_all(net, samples, 41, 1);
  for (const int64_t batch : {1, 2, 7, 16}) {
    const Statistics split = collect_all(net, samples, batch, 2);
    EXPECT_EQ(split.num_samples(), 41);
    EXPECT_EQ(split.histogram(net.y).total(), whole.histogram(net.y).total());
    EXPECT_NEAR(split.range(net.h).high, whole.range(net.h).high, 1e-5);
    EXPECT_EQ(split.range(net.x).high, whole.range(net.x).high);
    EXPECT_EQ(split.channels(net.h).count, whole.channels(net.h).count);
    EXPECT_LT(relative_difference(split.channels(net.h).sum_square, whole.channels(net.h).sum_square), 1e-6);
    expect_close(split.input_mean(net.graph.main().nodes[0]), whole.input_mean(net.graph.main().nodes[0]));
  }
}

TEST(Statistics, FilledUpRowsCountNowhere) {
  const Net net = convolution_net(kUneven, int64_t{8});
  const Net free = convolution_net(kUneven);
  const Tensor samples = random_tensor({11, 4, 6, 6}, 5);
  const Statistics fixed = collect_all(net, samples, 8, 2), wanted = collect_all(free, samples, 11, 1);
  EXPECT_EQ(fixed.num_samples(), 11);
  EXPECT_EQ(fixed.histogram(net.y).total(), wanted.histogram(free.y).total());
  EXPECT_EQ(fixed.channels(net.h).count, wanted.channels(free.h).count);
  expect_close(fixed.input_mean(net.graph.main().nodes[0]), wanted.input_mean(free.graph.main().nodes[0]));
}

/// The mean input column, times a weight, is the mean output: true for every stride, pad, dilation and group.
TEST(Statistics, MeanColumnsGiveMeanOutputs) {
  const std::vector<std::map<std::string, Attribute>> all = {
      kUneven,
      {{"group", int64_t{2}}},
      {{"group", int64_t{2}}, {"dilations", std::vector<int64_t>{2, 1}}, {"pads", std::vector<int64_t>{2, 1, 2, 1}}},
      {{"group", int64_t{2}}, {"auto_pad", std::string("SAME_UPPER")}, {"strides", std::vector<int64_t>{2, 2}}},
      {{"group", int64_t{2}}, {"auto_pad", std::string("SAME_LOWER")}, {"strides", std::vector<int64_t>{2, 2}}},
      {{"group", int64_t{2}}, {"auto_pad", std::string("VALID")}, {"strides", std::vector<int64_t>{3, 2}}}};
  for (size_t i = 0; i < all.size(); ++i) {
    const Net net = convolution_net(all[i]);
    const Statistics found = collect_all(net, random_tensor({9, 4, 6, 6}, i), 4, 2);
    const LinearView view = linear_views(net.graph).at(0);
    const Tensor rows = weight_rows(view, values(*net.graph.constant(view.weight))).to(at::kDouble);   // [6, 18]
    const Tensor mean = found.input_mean(view.node).reshape({2, 18}).repeat_interleave(3, 0);
    const ChannelSums& sums = found.channels(net.h);
    EXPECT_LT(relative_difference((rows * mean).sum(1), sums.sum / static_cast<double>(sums.count)), 1e-4) << "case " << i;
  }
}

TEST(Statistics, MeanColumnsOfMatMulAndGemm) {
  GraphBuilder b;
  const ValueId x = b.input("x", {std::string("n"), int64_t{5}, int64_t{4}});
  const ValueId h = b.node("MatMul", {x, b.random_constant("w", {4, 3})});
  b.output(h);
  const Net net{x, h, h, b.graph()};
  const Tensor samples = random_tensor({10, 5, 4}, 8);
  const Statistics found = collect_all(net, samples, 3, 2);
  expect_close(found.input_mean(net.graph.main().nodes[0]), samples.to(at::kDouble).reshape({-1, 4}).mean(0));
}

TEST(Statistics, TakesConstantZeroAndIntegerValues) {
  GraphBuilder b;
  const ValueId x = b.input("x", {std::string("n"), int64_t{3}});
  const ValueId zeros = b.node("Mul", {x, b.constant("zero", at::zeros({3}))}), kinds = b.node("ArgMax", {x}), shape = b.node("Shape", {x});
  for (const ValueId id : {zeros, kinds, shape}) b.output(id);
  const Net net{x, zeros, zeros, b.graph()};
  Progress progress;
  const Executor executor(net.graph);
  const Dataset data(net.graph, samples_of({{"x", at::ones({4, 3})}}), {}, "data");
  const Statistics found = collect(executor, net.graph, data, {.ranges = {kinds}, .histograms = {x, zeros, shape}}, progress);
  EXPECT_EQ(found.histogram(zeros).total(), 12);
  EXPECT_EQ(found.histogram(x).low(), found.histogram(x).high());
  EXPECT_FALSE(found.has_range(kinds));
  try {
    found.histogram(shape);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), "E1712");
  }
}

TEST(Statistics, StopsAtTheFirstNumberThatIsNone) {
  GraphBuilder b;
  const ValueId x = b.input("x", {std::string("n"), int64_t{2}});
  const ValueId y = b.node("Log", {x});
  b.output(y, "logarithm");
  const Net net{x, y, y, b.graph()};
  Tensor samples = at::ones({40, 2});
  samples[33][1] = -1;
  const Dataset data(net.graph, samples_of({{"x", samples}}), {.batch = 4}, "data");
  Progress progress;
  const Executor executor(net.graph);
  try {
    collect(executor, net.graph, data, {.histograms = {y}}, progress);
    FAIL();
  } catch (const ModelError& error) {
    EXPECT_EQ(error.code(), "E1710");
    EXPECT_EQ(error.message(), "value 'logarithm' became NaN or infinite");
    EXPECT_EQ(error.details().found, "in the samples from 32 on");
  }
}

/// Second moments of all columns by ATen's im2col.
Tensor dense_products(const Tensor& samples, const std::vector<int64_t>& kernel, int64_t padding) {
  const Tensor columns = at::im2col(samples, kernel, {1, 1}, {padding, padding}, {1, 1});            // [N, C * taps, L]
  const Tensor x = columns.permute({0, 2, 1}).reshape({-1, columns.size(1)}).to(at::kDouble);
  return x.t().mm(x);
}

Statistics grams_of(const Graph& graph, const Tensor& samples, int64_t positions, int64_t batch, int threads) {
  set_num_threads(threads);
  const Dataset data(graph, samples_of({{"x", samples}}), {.batch = batch}, "data");
  const Wanted wanted{.grams = linear_views(graph), .positions = positions};
  Progress progress;
  Statistics found = collect(Executor(graph), graph, data, wanted, progress);
  set_num_threads(0);
  return found;
}

TEST(Statistics, GramsAreThoseOfAllColumns) {
  GraphBuilder b;
  const ValueId x = b.input("x", {std::string("n"), int64_t{3}, int64_t{5}, int64_t{5}});
  b.output(b.node("Conv", {x, b.random_constant("w", {4, 3, 3, 3})}, {{"pads", std::vector<int64_t>{1, 1, 1, 1}}}));
  const Tensor samples = random_tensor({23, 3, 5, 5}) + 2;
  const Graph graph = b.graph();
  const Statistics found = grams_of(graph, samples, 0, 4, 2);
  const Gram& gram = found.gram(graph.main().nodes[0]);
  EXPECT_EQ(gram.count, 23 * 25);
  EXPECT_LT(relative_difference(gram.products[0], dense_products(samples, {3, 3}, 1)), 1e-6);
}

TEST(Statistics, SharesGramsOfEqualColumns) {
  GraphBuilder b;
  const ValueId x = b.input("x", {std::string("n"), int64_t{6}});
  b.output(b.node("MatMul", {x, b.random_constant("q", {6, 2})}));
  b.output(b.node("Gemm", {x, b.random_constant("k", {3, 6})}, {{"transB", int64_t{1}}}));
  const Tensor samples = random_tensor({9, 6});
  const Graph graph = b.graph();
  const Statistics found = grams_of(graph, samples, 0, 4, 1);
  const auto& nodes = graph.main().nodes;
  EXPECT_EQ(&found.gram(nodes[0]), &found.gram(nodes[1]));
  EXPECT_LT(relative_difference(found.gram(nodes[0]).centred()[0], at::cov(samples.t().to(at::kDouble)) * 8), 1e-6);
}

TEST(Statistics, DrawsTheSamePositionsForAnyBatchAndThreads) {
  const Net net = convolution_net(kUneven);
  const Tensor samples = random_tensor({30, 4, 6, 6});
  const NodeId node = net.graph.main().nodes[0];
  const Statistics one = grams_of(net.graph, samples, 5, 1, 1), many = grams_of(net.graph, samples, 5, 7, 2);
  EXPECT_EQ(one.gram(node).count, 150);
  EXPECT_LT(relative_difference(one.gram(node).products, many.gram(node).products), 1e-6);
  const Statistics again = grams_of(net.graph, samples, 5, 7, 1);
  EXPECT_TRUE(at::equal(again.gram(node).products, many.gram(node).products));
}

}  // namespace
}  // namespace niwaki
