#include "compress/target.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

Work convolution(double kernel, double channels, double size) {
  return {.kind = Work::Kind::convolution, .kernel = kernel, .positions = size * size, .outputs = channels, .inputs = channels, .out_elements = channels * size * size};
}

TEST(CostTable, NamesAreThoseOfTheFlag) {
  EXPECT_STREQ(names(Target{})[static_cast<size_t>(Target::onnxruntime_cpu)], "onnxruntime-cpu");
  EXPECT_STREQ(names(Target{})[static_cast<size_t>(Target::onnxruntime_cpu_novnni)], "onnxruntime-cpu-novnni");
  EXPECT_STREQ(names(Target{})[static_cast<size_t>(Target::generic)], "generic");
}

TEST(CostTable, CostsArePositiveAndGrowWithTheWork) {
  for (int kind = 0; kind <= static_cast<int>(Work::Kind::move); ++kind) {
    double last_float = -1, last_integer = -1;
    for (const double size : {1.0, 4.0, 16.0, 64.0}) {
      Work work = convolution(9, 16, size);
      work.kind = static_cast<Work::Kind>(kind);
      work.macs = 1000 * size;
      work.taps = 10 * size;
      EXPECT_GE(float_cost_us(work), last_float) << kind;
      EXPECT_GE(integer_cost_us(work), last_integer) << kind;
      EXPECT_GE(float_cost_us(work), 0) << kind;
      EXPECT_GT(integer_cost_us(work), 0) << kind;
      last_float = float_cost_us(work);
      last_integer = integer_cost_us(work);
    }
  }
  EXPECT_LT(border_cost_us(10, false), border_cost_us(10000, false));
  EXPECT_LT(border_cost_us(10, true), border_cost_us(10000, true));
  EXPECT_LT(input_border_cost_us(1000, false, 3), input_border_cost_us(1000, true, 3));
}

TEST(CostTable, IntegerKernelsPayForLargeConvolutionsOnly) {
  EXPECT_LT(integer_cost_us(convolution(9, 64, 56)), 0.6 * float_cost_us(convolution(9, 64, 56)));
  const Work tiny_gemm{.kind = Work::Kind::gemm, .macs = 640, .rows = 1, .out_elements = 10};
  EXPECT_GT(integer_cost_us(tiny_gemm) + border_cost_us(64, false), float_cost_us(tiny_gemm));
  const Work large_gemm{.kind = Work::Kind::gemm, .macs = 4e6, .rows = 1, .out_elements = 1000};
  EXPECT_LT(integer_cost_us(large_gemm) + border_cost_us(4000, false), float_cost_us(large_gemm));
}

TEST(CostTable, AddIsFreeInsideAFloatConvolution) {
  EXPECT_EQ(float_cost_us({.kind = Work::Kind::add, .out_elements = 1e5, .is_fused = true}), 0);
  EXPECT_GT(float_cost_us({.kind = Work::Kind::add, .out_elements = 1e5}), 0);
}

}  // namespace
}  // namespace niwaki
