#include "compress/train/trainer.h"

#include "compress/error.h"
#include "compress/parallel.h"
#include "tests/compress/train/trainer_fixture.h"

#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>

namespace niwaki {
namespace {

bool same_bytes(const Tensor& a, const Tensor& b) {
  return a.sizes() == b.sizes() && std::memcmp(a.contiguous().const_data_ptr(), b.contiguous().const_data_ptr(), a.nbytes()) == 0;
}

std::string fresh_path(const std::string& name) {
  const auto path = std::filesystem::temp_directory_path() / cat("niwaki_", name, "_", ::getpid());
  std::filesystem::remove(path);
  return path;
}

TEST(Trainer, LowersTheLoss) {
  Lesson lesson(400);
  const TrainReport report = lesson.run({.learning_rate = 3e-2, .epochs = 8, .batch = 32});
  EXPECT_EQ(report.training_samples, 380);
  EXPECT_EQ(report.held_out_samples, 20);
  EXPECT_EQ(report.steps, 8 * 12);
  ASSERT_EQ(report.epochs.size(), 8u);
  EXPECT_LT(report.epochs.back().train, 0.3 * report.epochs.front().train);
  EXPECT_LT(report.epochs[static_cast<size_t>(report.best_epoch - 1)].validation, 0.5 * report.validation_before);
}

TEST(Trainer, StochasticGradientDescentLearnsToo) {
  Lesson lesson;
  const TrainReport report = lesson.run({.optimizer = OptimizerKind::sgd, .learning_rate = 0.3, .epochs = 10, .batch = 16});
  EXPECT_LT(report.epochs.back().train, 0.5 * report.epochs.front().train);
}

/// The lesson behind two norms: of the images, and of what a convolution makes of them.
struct NormLesson : Lesson {
  NormLesson() : Lesson(160) {
    GraphBuilder b;
    const auto norm = [&](ValueId x, int64_t channels, const std::string& name) {
      return b.node("BatchNormalization", {x, b.constant(name + ".scale", at::ones({channels})), b.constant(name + ".shift", at::zeros({channels})),
                                           b.constant(name + ".mean", at::full({channels}, 3.0f)), b.constant(name + ".variance", at::full({channels}, 4.0f))}, {}, name);
    };
    const ValueId seen = norm(b.input("x", {"n", 3, 8, 8}), 3, "a");
    const ValueId hidden = b.node("Relu", {norm(b.node("Relu", {b.node("Conv", {seen, b.constant("w1", random_tensor({8, 3, 3, 3}, 1) * 0.3)}, {{"pads", std::vector<int64_t>{1, 1, 1, 1}}})}), 8, "b")});
    const ValueId pooled = b.node("Flatten", {b.node("GlobalAveragePool", {hidden})});
    b.output(b.node("Gemm", {pooled, b.constant("w2", random_tensor({4, 8}, 2) * 0.3)}, {{"transB", int64_t{1}}}), "scores");
    graph = b.graph();
    training.trainable = trainable_constants(graph);
    training.masks = {};
    for (const NodeId id : graph.main().nodes) {
      if (graph.node(id).op != "BatchNormalization") continue;
      training.batch_norms.push_back(id);
      training.trainable.insert({graph.node(id).inputs[3], graph.node(id).inputs[4]});
    }
  }
  Tensor everything() const {
    std::vector<Tensor> parts;
    for (const ValueId id : training.trainable) parts.push_back(values(*graph.constant(id)).flatten());
    return at::cat(parts);
  }
};

TEST(Trainer, BatchNormsGetTheStatisticsOfTheData) {
  for (const double average : {0.0, 0.9}) {
    NormLesson lesson;
    const TrainReport report = lesson.run({.learning_rate = 1e-2, .epochs = 4, .batch = 64, .average = average, .hold_out = 0});
    EXPECT_TRUE(report.follows_batch);
    EXPECT_TRUE(report.notes.empty());
    const Tensor rows = lesson.images.to(at::kDouble).transpose(0, 1).reshape({3, -1});
    EXPECT_TRUE(at::allclose(lesson.weight("a.mean").to(at::kDouble), rows.mean(1), 1e-4, 1e-5));
    EXPECT_TRUE(at::allclose(lesson.weight("a.variance").to(at::kDouble), rows.var(1, false), 1e-4, 0));
    // what the second one reads now: its statistics were seen behind those of parts of the data
    GraphBuilder b;
    const auto constant = [&](const std::string& name) { return b.constant(name, lesson.weight(name)); };
    const ValueId seen = b.node("BatchNormalization", {b.input("x", {"n", 3, 8, 8}), constant("a.scale"), constant("a.shift"), constant("a.mean"), constant("a.variance")});
    b.output(b.node("Relu", {b.node("Conv", {seen, constant("w1")}, {{"pads", std::vector<int64_t>{1, 1, 1, 1}}})}));
    const Tensor read = run_graph(b.graph(), {lesson.images})[0].to(at::kDouble).transpose(0, 1).reshape({8, -1});
    EXPECT_LT(relative_difference(lesson.weight("b.mean").to(at::kDouble), read.mean(1)), 0.02);
    EXPECT_LT(relative_difference(lesson.weight("b.variance").to(at::kDouble), read.var(1, false)), 0.05);
  }
}

TEST(Trainer, BatchNormsResumeToTheSameBytes) {
  const TrainerOptions options{.learning_rate = 1e-2, .epochs = 3, .batch = 40, .average = 0.9};
  NormLesson whole;
  set_num_threads(1);
  const TrainReport report = whole.run(options);
  set_num_threads(0);
  EXPECT_LT(report.epochs.back().validation, report.validation_before);
  TrainerOptions kept = options;
  kept.checkpoint = fresh_path("norms");
  kept.checkpoint_seconds = 0;
  NormLesson stopped, resumed;
  Progress progress([&](const Progress::State& state) {
    if (state.done >= 7) throw Interrupted();
  });
  EXPECT_THROW(train(stopped.graph, stopped.data(), stopped.training, kept, progress), Interrupted);
  EXPECT_GT(resumed.run(kept).resumed_at, 0);
  EXPECT_TRUE(same_bytes(resumed.everything(), whole.everything()));
  std::filesystem::remove(kept.checkpoint);
}

TEST(Trainer, KeepsMasksExactly) {
  for (const OptimizerKind optimizer : {OptimizerKind::adamw, OptimizerKind::sgd}) {
    Lesson lesson(120, 0.7);
    const Tensor before = lesson.weight("w1");
    ASSERT_EQ(lesson.training.masks.size(), 1u);
    ASSERT_GT(before.eq(0).sum().item<int64_t>(), 50);
    lesson.run({.optimizer = optimizer, .learning_rate = 1e-2, .weight_decay = 1e-2, .steps = 100, .batch = 16, .average = 0.9, .hold_out = 0});
    const Tensor after = lesson.weight("w1");
    EXPECT_TRUE(at::equal(before.eq(0), after.eq(0)));
    EXPECT_FALSE(at::signbit(after).logical_and(after.eq(0)).any().item<bool>());
    EXPECT_GT((after - before).abs().max().item<double>(), 1e-3);
  }
}

TEST(Trainer, SameBytesOnAnyNumberOfThreads) {
  std::vector<Tensor> results;
  for (const int threads : {1, 2, 3}) {
    set_num_threads(threads);
    Lesson lesson;
    lesson.run({.epochs = 2, .batch = 50, .average = 0.9, .augment = {.flip = true, .crop = 1}});
    results.push_back(lesson.all());
  }
  set_num_threads(0);
  EXPECT_TRUE(same_bytes(results[0], results[1]));
  EXPECT_TRUE(same_bytes(results[0], results[2]));
}

TEST(Trainer, ShardsAreAsOneUpToRounding) {
  // 110 samples in batches of 40: shards of 10, the last batch of 30; against whole batches
  Lesson parts(110), whole(110);
  whole.training.couples_samples = true;
  const TrainerOptions options{.steps = 3, .batch = 40, .hold_out = 0};
  parts.run(options);
  whole.run(options);
  EXPECT_LT((parts.all() - whole.all()).abs().max().item<double>(), 1e-6);
}

TEST(Trainer, ASeedDecides) {
  Lesson first, second, other;
  first.run({.epochs = 1, .seed = 1});
  second.run({.epochs = 1, .seed = 1});
  other.run({.epochs = 1, .seed = 2});
  EXPECT_TRUE(same_bytes(first.all(), second.all()));
  EXPECT_FALSE(same_bytes(first.all(), other.all()));
}

TEST(Trainer, ResumesToTheSameBytes) {
  for (const int64_t stop : {1, 21, 36}) {
    TrainerOptions options{.epochs = 5, .batch = 16, .average = 0.9, .augment = {.flip = true}, .checkpoint = fresh_path("resume"), .checkpoint_seconds = 0};
    Lesson whole, stopped;
    TrainerOptions plain = options;
    plain.checkpoint = "";
    const TrainReport wanted = whole.run(plain);
    Progress progress([&](const Progress::State& state) {
      if (state.done >= stop) throw Interrupted();
    });
    EXPECT_THROW(train(stopped.graph, stopped.data(), stopped.training, options, progress), Interrupted);
    const TrainReport report = stopped.run(options);
    EXPECT_EQ(report.resumed_at > 0, stop > 1);
    EXPECT_LE(report.resumed_at, stop);
    EXPECT_TRUE(same_bytes(whole.all(), stopped.all()));
    ASSERT_EQ(report.epochs.size(), wanted.epochs.size());
    for (size_t i = 0; i < wanted.epochs.size(); ++i) EXPECT_EQ(report.epochs[i].train, wanted.epochs[i].train);
    std::filesystem::remove(options.checkpoint);
  }
}

/// A process that is killed writes nothing more: what it saved last is taken up.
TEST(Trainer, ResumesAfterAKill) {
  const TrainerOptions options{.epochs = 5, .batch = 16, .checkpoint = fresh_path("kill"), .checkpoint_seconds = 0};
  Lesson whole, killed;
  TrainerOptions plain = options;
  plain.checkpoint = "";
  whole.run(plain);
  Progress progress([](const Progress::State& state) {
    if (state.done == 17) throw std::runtime_error("killed");
  });
  EXPECT_THROW(train(killed.graph, killed.data(), killed.training, options, progress), std::runtime_error);
  EXPECT_EQ(killed.run(options).resumed_at, 16);
  EXPECT_TRUE(same_bytes(whole.all(), killed.all()));
  std::filesystem::remove(options.checkpoint);
}

TEST(Trainer, TellsTheLossAsItGoes) {
  Lesson lesson;
  std::string note, stage;
  int64_t done = 0, total = 0;
  Progress progress([&](const Progress::State& state) {
    note = state.note;
    stage = state.stage;
    done = state.done;
    total = state.total;
  });
  const TrainReport report = train(lesson.graph, lesson.data(), lesson.training, {.steps = 5, .batch = 16}, progress);
  EXPECT_EQ(stage, "train");
  EXPECT_EQ(done, 5);
  EXPECT_EQ(total, 5);
  EXPECT_EQ(report.steps, 5);
  EXPECT_TRUE(note.starts_with("loss ")) << note;
}

TEST(Trainer, TakesUpNoCheckpointOfAnotherTraining) {
  TrainerOptions options{.epochs = 1, .batch = 16, .checkpoint = fresh_path("foreign")};
  Lesson first, second;
  first.run(options);
  options.learning_rate = 2e-3;
  const TrainReport report = second.run(options);
  EXPECT_EQ(report.resumed_at, 0);
  ASSERT_EQ(report.notes.size(), 1u);
  EXPECT_NE(report.notes[0].find("of another model, other data or other options"), std::string::npos);
  std::filesystem::remove(options.checkpoint);
}

TEST(Trainer, AFinishedCheckpointIsTheResult) {
  const TrainerOptions options{.epochs = 2, .checkpoint = fresh_path("finished")};
  Lesson first, second;
  first.run(options);
  const TrainReport report = second.run(options);
  EXPECT_EQ(report.resumed_at, report.steps);
  EXPECT_TRUE(same_bytes(first.all(), second.all()));
  std::filesystem::remove(options.checkpoint);
}

TEST(Trainer, RecoversFromALossThatIsNotFinite) {
  Lesson lesson;
  std::atomic<int> calls{0};
  lesson.training.loss = [&](const Shard& shard) {
    LossSum loss = cross_entropy(shard.values[0], shard.labels);
    if (shard.values[0].requires_grad() && ++calls == 20) loss.sum = loss.sum * NAN;
    return loss;
  };
  set_num_threads(1);
  const TrainReport report = lesson.run({.epochs = 4, .batch = 32});
  set_num_threads(0);
  EXPECT_EQ(report.restarts, 1);
  EXPECT_TRUE(at::isfinite(lesson.all()).all().item<bool>());
  EXPECT_EQ(report.epochs.size(), 4u);
}

TEST(Trainer, GivesUpAfterThreeRestarts) {
  Lesson lesson;
  lesson.training.loss = [](const Shard& shard) {
    const LossSum loss = cross_entropy(shard.values[0], shard.labels);
    return LossSum{loss.sum * NAN, loss.weight};
  };
  try {
    lesson.run({.epochs = 1, .batch = 16, .hold_out = 0});
    FAIL() << "no error";
  } catch (const ModelError& error) {
    EXPECT_EQ(error.code(), "E3321");
    EXPECT_EQ(error.message(), "the loss of batch 0 of epoch 1 (step 0) is not finite");
  }
}

TEST(Trainer, StopsEarlyAndKeepsTheBest) {
  Lesson lesson(400);
  const Tensor before = lesson.all();
  lesson.training.loss = [](const Shard& shard) {        // training makes the held-out loss worse at once
    const LossSum loss = cross_entropy(shard.values[0], shard.labels);
    return LossSum{shard.values[0].requires_grad() ? -loss.sum : loss.sum, loss.weight};
  };
  const TrainReport report = lesson.run({.learning_rate = 1e-2, .epochs = 20, .patience = 2});
  EXPECT_TRUE(report.stopped_early);
  EXPECT_EQ(report.epochs.size(), 2u);
  EXPECT_EQ(report.best_epoch, 0);
  EXPECT_TRUE(same_bytes(before, lesson.all()));
}

TEST(Trainer, KeepsTheLastStateThatIsAsGoodAsTheBest) {
  const auto kept_epoch = [](const std::vector<double>& validation) {
    Lesson lesson(400);
    std::atomic<int64_t> calls = 0;
    lesson.training.loss = [&](const Shard& shard) {
      LossSum loss = cross_entropy(shard.values[0], shard.labels);
      if (shard.values[0].requires_grad()) return loss;
      const auto round = static_cast<size_t>(calls++ / 3);         // 20 samples are held out: shards of 8, 8 and 4
      const double noise = shard.samples.size() == 8 ? (shard.samples[0] % 2 == 0 ? 0.1 : 0.08) : -0.2;
      loss.sum = at::full({}, (validation.at(round) + noise) * loss.weight);
      return loss;
    };
    return lesson.run({.epochs = 4, .batch = 32}).best_epoch;
  };
  EXPECT_EQ(kept_epoch({1, 0.5, 0.52, 0.9, 0.55}), 4);
  EXPECT_EQ(kept_epoch({1, 0.5, 0.52, 0.9, 0.8}), 2);
  EXPECT_EQ(kept_epoch({0.5, 0.51, 0.52, 0.52, 0.52}), 0) << "never what is above the start";
}

/// A tensor whose gradient is 1 moves by the learning rate at each step, so that all is known.
TEST(Trainer, AveragesWeights) {
  const TrainerOptions options{.optimizer = OptimizerKind::sgd, .learning_rate = 0.1, .momentum = 0, .steps = 30, .batch = 16,
                               .schedule = Schedule::constant, .warm_up = 0, .clip = 0, .hold_out = 0};
  Lesson plain, averaged;
  for (Lesson* lesson : {&plain, &averaged}) {
    lesson->training.extra = {at::zeros({1})};
    lesson->training.loss = [](const Shard& shard) {
      const auto samples = static_cast<double>(shard.samples.size());
      return LossSum{shard.extra[0].sum() * samples, samples};
    };
  }
  EXPECT_NEAR(plain.run(options).extra[0].item<double>(), -3, 1e-5);
  TrainerOptions with_average = options;
  with_average.average = 0.8;
  double wanted = 0;
  for (int t = 0; t < 30; ++t) {
    const double kept = std::min(0.8, (1.0 + t) / (10.0 + t));
    wanted = kept * wanted - (1 - kept) * 0.1 * (t + 1);
  }
  EXPECT_NEAR(averaged.run(with_average).extra[0].item<double>(), wanted, 1e-5);
}

TEST(Trainer, TrainsExtraTensors) {
  Lesson lesson;
  lesson.training.extra = {at::zeros({1})};
  lesson.training.loss = [](const Shard& shard) {         // log-temperature of the scores
    return cross_entropy(shard.values[0] * shard.extra[0].exp(), shard.labels);
  };
  const TrainReport report = lesson.run({.learning_rate = 3e-2, .epochs = 8, .batch = 16, .hold_out = 0});
  ASSERT_EQ(report.extra.size(), 1u);
  EXPECT_GT(report.extra[0].item<double>(), 0.05);
  EXPECT_EQ(lesson.training.extra[0].item<double>(), 0);
}

TEST(Trainer, ReadsWatchedValues) {
  Lesson lesson;
  const ValueId hidden = lesson.graph.node(lesson.graph.main().nodes[1]).outputs[0];
  lesson.training.watched = {hidden};
  lesson.training.loss = [](const Shard& shard) {
    EXPECT_EQ(shard.values.size(), 2u);
    EXPECT_EQ(shard.values[1].sizes(), (at::IntArrayRef{static_cast<int64_t>(shard.samples.size()), 8, 8, 8}));
    return mse(shard.values[1], at::zeros_like(shard.values[1]));
  };
  const TrainReport report = lesson.run({.learning_rate = 1e-2, .epochs = 6, .batch = 16, .hold_out = 0});
  EXPECT_LT(report.epochs.back().train, 0.7 * report.epochs.front().train);
  ASSERT_EQ(report.notes.size(), 1u);
  EXPECT_EQ(report.notes[0], "2 of 4 trainable tensors do not reach the loss");
}

TEST(Trainer, RefusesWhatNoGradientReaches) {
  GraphBuilder b;
  const ValueId x = b.input("x", {"n", 4});
  b.output(b.node("Round", {b.node("MatMul", {x, b.random_constant("w", {4, 2})})}, {}, "rounding"), "y");
  Graph graph = b.graph();
  EXPECT_TRUE(trainable_constants(graph).empty());
  const Dataset data(graph, samples_of({{"x", random_tensor({16, 4})}}), {}, "test");
  for (const std::set<ValueId>& trainable : {std::set<ValueId>{}, std::set<ValueId>{*graph.find_value("w")}}) {
    Training training{.trainable = trainable, .loss = [](const Shard& s) { return mse(s.values[0].detach(), at::zeros_like(s.values[0])); }};
    Progress progress;
    try {
      train(graph, data, training, {.hold_out = 0}, progress);
      FAIL() << "no error";
    } catch (const UnsupportedError& error) {
      EXPECT_EQ(error.code(), "E3320");
      EXPECT_EQ(error.details().found, "no gradient comes through rounding (Round)");
    }
  }
}

TEST(Trainer, FillsFixedBatchesUp) {
  GraphBuilder b;
  const ValueId x = b.input("x", {4, 6});
  b.output(b.node("MatMul", {x, b.constant("w", random_tensor({6, 3}) * 0.1)}), "y");
  Graph graph = b.graph();
  const Tensor inputs = random_tensor({50, 6}, 1), wanted = at::mm(inputs, random_tensor({6, 3}, 2));
  const Dataset data(graph, samples_of({{"x", inputs}, {"labels", wanted}}), {.want_labels = true}, "test");
  Training training{.trainable = trainable_constants(graph), .loss = [](const Shard& s) { return mse(s.values[0], s.labels); }};
  Progress progress;
  const TrainReport report = train(graph, data, training, {.learning_rate = 0.05, .epochs = 30, .batch = 25, .hold_out = 0}, progress);
  EXPECT_LT(report.epochs.back().train, 0.05 * report.epochs.front().train);
}

}  // namespace
}  // namespace niwaki
