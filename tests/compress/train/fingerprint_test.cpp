#include "compress/train/fingerprint.h"

#include "tests/compress/train/trainer_fixture.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

TEST(Fingerprint, ChangesWithWhatDecides) {
  const TrainerOptions options{.epochs = 2};
  const Lesson lesson;
  const auto of = [&](const Lesson& one, const TrainerOptions& how) { return training_fingerprint(one.graph, one.data(), one.training, how); };
  const std::string first = of(lesson, options);
  EXPECT_EQ(first, of(Lesson(), options));
  TrainerOptions elsewhere = options, longer = options, faster = options;
  elsewhere.checkpoint = "other";
  elsewhere.checkpoint_seconds = 1;
  longer.epochs = 3;
  faster.learning_rate = std::nextafter(options.learning_rate, 1.0);
  EXPECT_EQ(first, of(lesson, elsewhere));
  EXPECT_NE(first, of(lesson, longer));
  EXPECT_NE(first, of(lesson, faster));
  Lesson weights(120, 0.1), samples, loss;
  samples.images[0][0][0][0] += 1;
  loss.training.identity = "another";
  EXPECT_NE(first, of(weights, options));
  EXPECT_NE(first, of(samples, options));
  EXPECT_NE(first, of(loss, options));
}

}  // namespace
}  // namespace niwaki
