#include "compress/train/checkpoint.h"

#include "compress/error.h"
#include "tests/graph_builder.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>

#include <unistd.h>

namespace niwaki {
namespace {

class CheckpointTest : public testing::Test {
 protected:
  void TearDown() override { std::filesystem::remove(path_); }
  std::optional<TrainState> load(const std::string& fingerprint = "f") { return load_checkpoint(path_, fingerprint, why_); }
  std::string bytes() const {
    std::ifstream file(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  void write(const std::string& content) const { std::ofstream(path_, std::ios::binary) << content; }

  const std::string path_ = std::filesystem::temp_directory_path() / cat("niwaki_checkpoint_", ::getpid());
  std::string why_;
};

TrainState some_state() {
  TrainState state;
  state.step = 12;
  state.rate_share = 0.25;
  state.loss_sum = 1.0 / 3;
  state.validation_before = std::nan("");
  state.best_loss = std::numeric_limits<double>::infinity();
  state.history = {0.1, std::nan(""), 1e-300};
  state.weights = {random_tensor({3, 4}, 1), at::zeros({0}), at::tensor({-0.0f})};
  state.masks = {random_tensor({3, 4}, 2).gt(0)};
  state.behind = {random_tensor({3, 4}, 3)};
  state.moments = make_moments(state.weights, OptimizerKind::adamw);
  state.moments.updates = {12, 0, 11};
  return state;
}

TEST_F(CheckpointTest, GivesBackEveryBit) {
  const TrainState state = some_state();
  save_checkpoint(path_, "f", state);
  const auto found = load();
  ASSERT_TRUE(found) << why_;
  EXPECT_EQ(found->step, 12);
  EXPECT_EQ(found->loss_sum, state.loss_sum);
  EXPECT_EQ(found->best_loss, state.best_loss);
  EXPECT_TRUE(std::isnan(found->validation_before));
  EXPECT_EQ(found->history[2], 1e-300);
  EXPECT_EQ(found->moments.updates, state.moments.updates);
  ASSERT_EQ(found->weights.size(), 3u);
  EXPECT_TRUE(at::equal(found->weights[0], state.weights[0]));
  EXPECT_TRUE(std::signbit(found->weights[2].item<float>()));
  EXPECT_TRUE(found->best.empty());
  EXPECT_TRUE(at::equal(found->masks.at(0), state.masks[0]));
  EXPECT_TRUE(at::equal(found->behind.at(0), state.behind[0]));
  EXPECT_EQ(found->moments.second.size(), 3u);
}

TEST_F(CheckpointTest, IsNothingWithoutAFile) {
  EXPECT_FALSE(load());
  EXPECT_EQ(why_, "");
}

TEST_F(CheckpointTest, IgnoresThatOfAnotherTraining) {
  save_checkpoint(path_, "f", some_state());
  EXPECT_FALSE(load("g"));
  EXPECT_NE(why_.find("of another model, other data or other options; training starts anew"), std::string::npos) << why_;
}

TEST_F(CheckpointTest, IgnoresDamage) {
  save_checkpoint(path_, "f", some_state());
  const std::string whole = bytes();
  for (size_t i = 0; i < whole.size(); i += 7) {
    std::string flipped = whole;
    flipped[i] = static_cast<char>(flipped[i] ^ 4);
    write(flipped);
    EXPECT_FALSE(load()) << i;
    write(whole.substr(0, i));
    EXPECT_FALSE(load()) << i;
  }
  write(whole + "x");
  EXPECT_FALSE(load());
  write(whole);
  EXPECT_TRUE(load());
}

TEST_F(CheckpointTest, CopiesShareNothingThatChanges) {
  const TrainState state = some_state();
  const TrainState copy = copy_of(state);
  state.weights[0].zero_();
  state.moments.first[0].fill_(1);
  EXPECT_GT(copy.weights[0].abs().sum().item<double>(), 0);
  EXPECT_EQ(copy.moments.first[0].abs().sum().item<double>(), 0);
}

}  // namespace
}  // namespace niwaki
