#include "compress/measure.h"

#include "compress/error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <onnx/onnx_pb.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <random>

#include <unistd.h>

namespace niwaki {
namespace {

namespace fs = std::filesystem;

/// y = x @ w, with w of `features` squared numbers.
std::string matmul_model(const std::string& path, int64_t features) {
  onnx::ModelProto model;
  model.set_ir_version(8);
  model.add_opset_import()->set_version(17);
  onnx::GraphProto* graph = model.mutable_graph();
  graph->set_name("graph");
  for (onnx::ValueInfoProto* value : {graph->add_input(), graph->add_output()}) {
    value->set_name(value == &graph->input(0) ? "x" : "y");
    auto* tensor = value->mutable_type()->mutable_tensor_type();
    tensor->set_elem_type(1);
    tensor->mutable_shape()->add_dim()->set_dim_value(1);
    tensor->mutable_shape()->add_dim()->set_dim_value(features);
  }
  onnx::TensorProto* weight = graph->add_initializer();
  weight->set_name("w");
  weight->set_data_type(1);
  weight->add_dims(features);
  weight->add_dims(features);
  weight->set_raw_data(std::string(size_t(features * features) * 4, '\0'));
  onnx::NodeProto* node = graph->add_node();
  node->set_op_type("MatMul");
  node->add_input("x");
  node->add_input("w");
  node->add_output("y");
  std::ofstream file(path, std::ios::binary);
  model.SerializeToOstream(&file);
  return path;
}

class MeasureTest : public ::testing::Test {
 protected:
  MeasureTest() : folder_(fs::path(::testing::TempDir()) / ("measure" + std::to_string(getpid()))) {
    fs::create_directories(folder_);
  }
  ~MeasureTest() override { fs::remove_all(folder_); }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }

  fs::path folder_;
};

LatencyOptions quick() {
  LatencyOptions options;
  options.rounds = 2;
  options.runs = 4;
  options.seconds_per_side = 0.02;
  options.warm_up_seconds = 0.02;
  options.wanted_half_width = 0;
  options.threads = 1;
  return options;
}

#define SKIP_WITHOUT_RUNTIME() \
  if (RuntimeWorker probe; !probe.available()) GTEST_SKIP() << probe.reason()

Rounds simulated(double ratio, double noise, int num_rounds, int num_pairs, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  Rounds rounds(num_rounds);
  for (auto& round : rounds) {
    for (int i = 0; i < num_pairs; ++i) {
      const double before = std::exp(noise * normal(random));
      round.push_back({before, ratio * std::exp(noise * normal(random))});
    }
  }
  return rounds;
}

TEST(Measure, TakesTheMedianOfTheRatios) {
  EXPECT_NEAR(median_ratio({{{2, 1}, {2, 1}}, {{2, 1}, {100, 1}}}), 0.5, 1e-12);
  EXPECT_NEAR(median_ratio({{{1, 2}, {1, 8}}}), 4, 1e-12);
}

TEST(Measure, SlowPhasesOfTheMachineCancelOut) {
  // Half of the time everything takes twice as long, for both sides alike.
  Rounds rounds = simulated(0.9, 0.01, 3, 30, 5);
  for (auto& round : rounds) {
    for (size_t i = 0; i < round.size(); i += 2) {
      round[i].first *= 2;
      round[i].second *= 2;
    }
  }
  const auto [low, high] = bootstrap_ratio(rounds, 0);
  EXPECT_NEAR(median_ratio(rounds), 0.9, 0.01);
  EXPECT_LT(high - low, 0.03);
}

TEST(Measure, SummarizesTimes) {
  const LatencySummary summary = summarize_times({4, 1, 3, 2, 5});
  EXPECT_DOUBLE_EQ(summary.min, 1);
  EXPECT_DOUBLE_EQ(summary.p50, 3);
  EXPECT_DOUBLE_EQ(summary.p95, 4.8);
  EXPECT_DOUBLE_EQ(summary.mean, 3);
  EXPECT_NEAR(summary.sd, std::sqrt(2.5), 1e-12);
  EXPECT_EQ(summarize_times({}).p50, 0);
  EXPECT_EQ(summarize_times({2}).sd, 0);
}

TEST(Measure, BootstrapIsTheSameForTheSameSeed) {
  const Rounds rounds = simulated(0.5, 0.05, 3, 30, 1);
  EXPECT_EQ(bootstrap_ratio(rounds, 7), bootstrap_ratio(rounds, 7));
  EXPECT_NE(bootstrap_ratio(rounds, 7, 5), bootstrap_ratio(rounds, 8, 5));
}

TEST(Measure, BootstrapCoversTheTrueRatio) {
  int num_covered = 0;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    const auto [low, high] = bootstrap_ratio(simulated(0.8, 0.05, 3, 30, seed), seed, 400);
    EXPECT_LT(high - low, 0.15);
    num_covered += low <= 0.8 && 0.8 <= high;
  }
  EXPECT_GE(num_covered, 93);
}

TEST(Measure, IntervalOfRoundsThatDifferIsWide) {
  const auto steady = bootstrap_ratio({{{1, 1}, {1, 1}}, {{1, 1}, {1, 1}}}, 0);
  EXPECT_DOUBLE_EQ(steady[0], 1);
  EXPECT_DOUBLE_EQ(steady[1], 1);
  const auto apart = bootstrap_ratio({{{1, 1}, {1, 1}}, {{1, 1.2}, {1, 1.2}}}, 0);
  EXPECT_LE(apart[0], 1);
  EXPECT_GE(apart[1], 1.2);
}

TEST_F(MeasureTest, ComparesAModelWithItself) {
  SKIP_WITHOUT_RUNTIME();
  const std::string model = matmul_model(path("a.onnx"), 64);
  const Latency latency = measure_latency(model, model, {{"x", at::zeros({1, 64})}}, quick());
  EXPECT_EQ(latency.runtime, "onnxruntime");
  EXPECT_FALSE(latency.version.empty());
  EXPECT_EQ(latency.threads, 1);
  EXPECT_EQ(latency.rounds, 2);
  EXPECT_EQ(latency.pairs, 8);
  for (const LatencySummary& side : {latency.before, latency.after}) {
    EXPECT_GT(side.min, 0);
    EXPECT_LE(side.min, side.p50);
    EXPECT_LE(side.p50, side.p95);
    EXPECT_GT(side.mean, 0);
    EXPECT_GE(side.sd, 0);
  }
  EXPECT_GT(latency.ratio, 0);
  EXPECT_LE(latency.ci95[0], latency.ratio);
  EXPECT_GE(latency.ci95[1], latency.ratio);
  EXPECT_GE(latency.spread, 0);
}

TEST_F(MeasureTest, StopsAtItsTimeAndAtItsPrecision) {
  SKIP_WITHOUT_RUNTIME();
  const std::string model = matmul_model(path("a.onnx"), 16);
  const NamedTensors inputs = {{"x", at::zeros({1, 16})}};
  LatencyOptions options = quick();
  options.max_seconds = 0;
  EXPECT_EQ(measure_latency(model, model, inputs, options).pairs, 1);
  options = quick();
  options.rounds = 5;
  options.wanted_half_width = 1e9;
  EXPECT_EQ(measure_latency(model, model, inputs, options).rounds, 2);
}

TEST_F(MeasureTest, PassesOnWhatTheRuntimeRefuses) {
  SKIP_WITHOUT_RUNTIME();
  const std::string model = matmul_model(path("a.onnx"), 16);
  try {
    measure_latency(model, path("none.onnx"), {{"x", at::zeros({1, 16})}}, quick());
    ADD_FAILURE() << "a missing file was measured";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), "E3311");
  }
}

TEST_F(MeasureTest, PeakMemoryGrowsWithTheWeights) {
  SKIP_WITHOUT_RUNTIME();
  const auto measure = [&](int64_t features) {
    const std::string model = matmul_model(path("m.onnx"), features);
    return measure_peak_memory(model, {{"x", at::zeros({1, features})}}, 1);
  };
  const Memory small = measure(16);
  const Memory large = measure(2048);
  EXPECT_GT(small.baseline_bytes, 1u << 20);
  EXPECT_GT(large.peak_bytes, small.peak_bytes + (16u << 20));  // 2048 x 2048 floats
}

}  // namespace
}  // namespace niwaki
