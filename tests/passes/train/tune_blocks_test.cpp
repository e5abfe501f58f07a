#include "passes/train/tune_blocks.h"

#include "compress/error.h"
#include "compress/parallel.h"
#include "compress/train/weight_mask.h"
#include "tests/passes/train/train_fixture.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

/// x [n, 6] through a stem, two residual blocks and a head.
Graph teacher_net() {
  GraphBuilder b;
  uint64_t seed = 0;
  const auto gemm = [&](ValueId x, const std::string& name, int64_t in, int64_t out) {
    return b.node("Gemm", {x, b.constant(name, random_tensor({in, out}, ++seed) * 0.3), b.constant(name + ".b", random_tensor({out}, ++seed) * 0.1)}, {}, name);
  };
  ValueId x = b.node("Relu", {gemm(b.input("x", {"n", int64_t{6}}), "stem", 6, 16)});
  for (const std::string block : {"a", "b"}) {
    const ValueId h = gemm(b.node("Relu", {gemm(x, block + "1", 16, 32)}), block + "2", 32, 16);
    x = b.node("Relu", {b.node("Add", {h, x})}, {}, block + "_end");
  }
  b.output(gemm(x, "head", 16, 3), "y");
  return b.graph();
}

const std::vector<std::string>& weights() {
  static const std::vector<std::string> names = {"stem", "a1", "a2", "b1", "b2", "head"};
  return names;
}

/// The smallest weights of each layer are zero.
Graph pruned(const Graph& graph, double sparsity) {
  Graph result = graph;
  for (const std::string& name : weights()) {
    const Tensor w = weight_of(graph, name);
    const Tensor limit = std::get<0>(w.abs().flatten().sort())[static_cast<int64_t>(sparsity * static_cast<double>(w.numel()))];
    result.set_constant(*result.find_value(name), make_constant(apply_mask(w, w.abs().ge(limit))));
  }
  return result;
}

double output_error(const Graph& graph, const Graph& teacher) {
  const Tensor x = random_tensor({500, 6}, 321), want = run_graph(teacher, {x})[0];
  return ((run_graph(graph, {x})[0] - want).square().mean() / want.var()).item<double>();
}

bool same_weights(const Graph& a, const Graph& b) {
  return std::all_of(weights().begin(), weights().end(), [&](const std::string& name) {
    return at::equal(weight_of(a, name), weight_of(b, name)) && at::equal(weight_of(a, name + ".b"), weight_of(b, name + ".b"));
  });
}

TEST(TuneBlocks, BringsThePrunedModelNearToItsTeacherAndKeepsItsZeros) {
  const Graph teacher = teacher_net(), student = pruned(teacher, 0.8);
  const Dataset data = samples_for(student, teacher, 300, false);
  const Applied done = apply_pass("tune_blocks", student, {{"lr", 1e-2}}, &data, nullptr, &teacher);
  EXPECT_LT(output_error(done.after, teacher), 0.5 * output_error(student, teacher));
  for (const std::string& name : weights()) {
    const Tensor zeros = weight_of(student, name).eq(0);
    EXPECT_TRUE(at::equal(weight_of(done.after, name).eq(0), zeros)) << name;
    EXPECT_FALSE(at::equal(weight_of(done.after, name), weight_of(student, name))) << name;
  }
  const Json& blocks = done.report.details["blocks"];
  ASSERT_EQ(blocks.size(), 4u);
  for (const Json& block : blocks) EXPECT_LT(block["error_after"], block["error_before"]) << block;
  EXPECT_EQ(blocks[1]["nodes"].size(), 5u) << blocks[1];
}

/// T46: with an absurd learning rate every update makes it worse; a sane one, on the same model, is kept.
TEST(TuneBlocks, TakesBackWhatRaisesTheErrorOfHeldOutSamples) {
  const Graph teacher = teacher_net(), student = pruned(teacher, 0.5);
  const Dataset data = samples_for(student, teacher, 100, false);
  const Applied bad = apply_pass("tune_blocks", student, {{"lr", 100}, {"steps", 20}}, &data, nullptr, &teacher);
  EXPECT_TRUE(same_weights(bad.after, student));
  EXPECT_FALSE(bad.report.changed);
  for (const Json& block : bad.report.details["blocks"]) {
    EXPECT_FALSE(block["kept"]);
    EXPECT_EQ(block["error_after"], block["error_before"]);
    EXPECT_FALSE(block["reason"].get<std::string>().empty());
  }
  const Applied good = apply_pass("tune_blocks", student, {{"lr", 1e-2}, {"steps", 20}}, &data, nullptr, &teacher);
  EXPECT_FALSE(same_weights(good.after, student));
  for (const Json& block : good.report.details["blocks"]) {
    EXPECT_EQ(block["kept"].get<bool>(), block["error_after"] < block["error_before"]) << block;
  }
  EXPECT_TRUE(good.report.changed);
}

TEST(TuneBlocks, GivesTheSameBytesForAnyNumberOfThreadsAndOthersForAnotherMix) {
  const Graph teacher = teacher_net(), student = pruned(teacher, 0.8);
  const Dataset data = samples_for(student, teacher, 200, false);
  const int threads = num_threads();
  const auto tuned = [&](int count, double mix) {
    set_num_threads(count);
    return apply_pass("tune_blocks", student, {{"lr", 1e-2}, {"steps", 30}, {"mix", mix}}, &data, nullptr, &teacher).after;
  };
  const Graph one = tuned(1, 0.5), three = tuned(3, 0.5), unmixed = tuned(1, 0);
  set_num_threads(threads);
  EXPECT_TRUE(same_weights(one, three));
  EXPECT_FALSE(same_weights(one, unmixed));
  EXPECT_TRUE(at::equal(weight_of(one, "stem"), weight_of(unmixed, "stem")));   // both enter the first block alike
}

TEST(TuneBlocks, LeavesAloneWhatIsRightOrKept) {
  const Graph teacher = teacher_net();
  const Dataset data = samples_for(teacher, teacher, 100, false);
  const Applied same = apply_pass("tune_blocks", teacher, {{"steps", 5}}, &data, nullptr, &teacher);
  EXPECT_TRUE(same_weights(same.after, teacher));
  EXPECT_NE(same.report.reason("a1").find("gives what the teacher's gives"), std::string::npos);
  const Graph student = pruned(teacher, 0.8);
  PassReport report{.pass = "tune_blocks"};
  Progress progress;
  PassContext context{.report = report, .progress = progress, .calibration = &data, .keep = {"a1", "a2"}, .teacher = &teacher};
  Graph tuned = student;
  tune_blocks(tuned, {.steps = 30, .lr = 1e-2}, context);
  EXPECT_TRUE(at::equal(weight_of(tuned, "a1"), weight_of(student, "a1")));
  EXPECT_FALSE(at::equal(weight_of(tuned, "b1"), weight_of(student, "b1")));
}

TEST(TuneBlocks, HoldsSamplesOutOrRefusesToTouchAnything) {
  const Graph teacher = teacher_net(), student = pruned(teacher, 0.8);
  const Dataset few = samples_for(student, teacher, 15, false), enough = samples_for(student, teacher, 16, false);
  EXPECT_TRUE(same_weights(apply_pass("tune_blocks", student, {}, &few, nullptr, &teacher).after, student));
  const Applied done = apply_pass("tune_blocks", student, {{"lr", 1e-2}}, &enough, nullptr, &teacher);
  for (const Json& block : done.report.details["blocks"]) EXPECT_LE(block["error_after"], block["error_before"]);
}

TEST(TuneBlocks, NeedsATeacherSamplesAndNamesakes) {
  const Graph teacher = teacher_net();
  const Dataset data = samples_for(teacher, teacher, 50, false);
  const auto code = [&](const Dataset* calibration, const Graph* other) -> std::string {
    try {
      apply_pass("tune_blocks", teacher, {}, calibration, nullptr, other);
    } catch (const Error& error) {
      return error.code();
    }
    return "";
  };
  Graph stranger = teacher;
  for (const NodeId id : stranger.main().nodes) stranger.rename_value(stranger.node(id).outputs[0], stranger.fresh_name("other"));
  EXPECT_EQ(code(nullptr, &teacher), "E2014");
  EXPECT_EQ(code(&data, nullptr), "E2014");
  EXPECT_EQ(code(&data, &stranger), "E3322");
  EXPECT_EQ(code(&data, &teacher), "");
}

}  // namespace
}  // namespace niwaki
