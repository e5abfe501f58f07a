#include "compress/train/augment.h"

#include "tests/graph_builder.h"

#include <gtest/gtest.h>

#include <numeric>

namespace niwaki {
namespace {

std::vector<int64_t> ids(int64_t count) {
  std::vector<int64_t> all(static_cast<size_t>(count));
  std::iota(all.begin(), all.end(), 0);
  return all;
}

TEST(Augment, FlipsAboutHalfOfTheImages) {
  const Tensor images = random_tensor({200, 3, 4, 5});
  const Tensor changed = augmented({RunValue(images)}, ids(200), {.flip = true}, 1, 0)[0].tensor;
  int flipped = 0;
  for (int64_t i = 0; i < 200; ++i) {
    if (at::equal(changed[i], images[i])) continue;
    EXPECT_TRUE(at::equal(changed[i], images[i].flip({2})));
    ++flipped;
  }
  EXPECT_GT(flipped, 70);
  EXPECT_LT(flipped, 130);
}

TEST(Augment, CropsOfMirroredImages) {
  const Tensor images = random_tensor({50, 3, 6, 6});
  const Tensor changed = augmented({RunValue(images)}, ids(50), {.crop = 2}, 1, 0)[0].tensor;
  const Tensor padded = at::reflection_pad2d(images, {2, 2, 2, 2});
  std::set<int64_t> places;
  for (int64_t i = 0; i < 50; ++i) {
    int64_t found = -1;
    for (int64_t place = 0; place < 25; ++place) {
      if (at::equal(changed[i], padded[i].narrow(1, place / 5, 6).narrow(2, place % 5, 6))) found = place;
    }
    ASSERT_GE(found, 0);
    places.insert(found);
  }
  EXPECT_GT(places.size(), 12u);
}

TEST(Augment, BothLayoutsMoveAlike) {
  const Tensor images = random_tensor({20, 3, 6, 8});
  const Augment augment{.flip = true, .crop = 2};
  const Tensor first = augmented({RunValue(images)}, ids(20), augment, 3, 1)[0].tensor;
  const Tensor last = augmented({RunValue(images.permute({0, 2, 3, 1}).contiguous())}, ids(20), augment, 3, 1)[0].tensor;
  EXPECT_TRUE(at::equal(first, last.permute({0, 3, 1, 2})));
}

TEST(Augment, FollowsTheSampleNotItsPlace) {
  const Tensor images = random_tensor({8, 3, 6, 6});
  const Augment augment{.flip = true, .crop = 2};
  const std::vector<int64_t> order{5, 2, 7};
  const Tensor all = augmented({RunValue(images)}, ids(8), augment, 3, 1)[0].tensor;
  const Tensor some = augmented({RunValue(images.index_select(0, at::tensor(order)))}, order, augment, 3, 1)[0].tensor;
  EXPECT_TRUE(at::equal(some, all.index_select(0, at::tensor(order))));
  const Tensor later = augmented({RunValue(images)}, ids(8), augment, 3, 2)[0].tensor;
  EXPECT_FALSE(at::equal(all, later));
}

TEST(Augment, LeavesOtherInputsAlone) {
  const RunValues inputs{RunValue(random_tensor({4, 7})), RunValue(random_tensor({4, 3, 5, 5}))};
  const RunValues changed = augmented(inputs, ids(4), {.crop = 2}, 1, 0);
  EXPECT_TRUE(changed[0].tensor.is_same(inputs[0].tensor));
  EXPECT_FALSE(at::equal(changed[1].tensor, inputs[1].tensor));
  EXPECT_TRUE(augmented(inputs, ids(4), {}, 1, 0)[1].tensor.is_same(inputs[1].tensor));
}

}  // namespace
}  // namespace niwaki
