#include <ATen/Parallel.h>
#include <gtest/gtest.h>

int main(int argc, char** argv) {
  at::set_num_threads(1);                    // as in the product: threads of its own, each with one of ATen's
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
