#include "passes/factorize/layer_factors.h"

#include "tests/graph_builder.h"

#include <gtest/gtest.h>

#include <set>

namespace niwaki {
namespace {

double squares(const Tensor& x) { return at::square(x).sum().item<double>(); }
Tensor normal(std::vector<int64_t> sizes, uint64_t seed) { return random_tensor(std::move(sizes), seed).to(at::kDouble); }

/// 32 x 32 x 3 x 3 on correlated inputs of 10 x 12 maps.
FactoredLayer conv_layer(const Tensor& x) {
  return {.rows = normal({32, 288}, 1), .moments = x.mm(x.t()).unsqueeze(0), .kernel = {3, 3}, .output_positions = 30, .input_positions = 120, .middle_positions = 60};
}

TEST(LayerFactors, LossesAndCostsOfEveryOptionAreThoseOfItsFactors) {
  const Tensor x = normal({288, 288}, 2).mm(normal({288, 900}, 3));
  LayerFactors factors(conv_layer(x));
  std::set<FactorForm> forms;
  for (const FactorOption& option : factors.options({.step = 8})) {
    forms.insert(option.form);
    const auto parts = factors.factors(option);
    double weights = 0, macs = 0;
    for (size_t i = 0; i < parts.size(); ++i) {
      weights += static_cast<double>(parts[i].numel());
      const bool is_wide = i == 0 && (option.form == FactorForm::inputs || option.form == FactorForm::tucker);
      macs += static_cast<double>(parts[i].numel()) * (is_wide ? 120 : i == 0 && option.form == FactorForm::spatial ? 60 : 30);
    }
    EXPECT_EQ(option.num_weights, weights);
    EXPECT_EQ(option.macs, macs);
    EXPECT_LT(option.macs, factors.layer().macs());
    EXPECT_LT(option.num_weights, factors.layer().num_weights());
    const double error = squares((factors.layer().rows - factors.product(option, parts)).mm(x));
    EXPECT_NEAR(option.loss, error, 1e-5 * factors.energy()) << names(FactorForm{})[static_cast<size_t>(option.form)] << " " << option.rank;
  }
  EXPECT_EQ(forms.size(), 4u);
}

TEST(LayerFactors, NothingIsOfferedWhereFactorsWouldBeLarger) {
  LayerFactors narrow(FactoredLayer{.rows = normal({10, 12}, 1)});      // 8 * (10 + 12) > 120
  EXPECT_TRUE(narrow.options({.step = 8}).empty());
  EXPECT_FALSE(narrow.options({.step = 4}).empty());
  EXPECT_TRUE(narrow.options({.step = 8, .only = 6}).empty());
  EXPECT_EQ(narrow.options({.step = 8, .only = 5}).front().rank, 5);
}

TEST(LayerFactors, GroupsAddUp) {
  const Tensor x = normal({40, 200}, 5), y = normal({40, 200}, 6);
  FactoredLayer layer{.rows = normal({32, 40}, 1), .moments = at::stack({x.mm(x.t()), y.mm(y.t())}), .kernel = {1, 1}, .groups = 2};
  LayerFactors factors(layer);
  const auto options = factors.options({.step = 4});
  ASSERT_FALSE(options.empty());
  const auto parts = factors.factors(options.front());
  EXPECT_EQ(parts[0].sizes(), (std::vector<int64_t>{8, 40}));           // rank 4 of each group
  EXPECT_EQ(parts[1].sizes(), (std::vector<int64_t>{32, 4}));
  const Tensor missing = layer.rows - factors.product(options.front(), parts);
  const double error = squares(missing.narrow(0, 0, 16).mm(x)) + squares(missing.narrow(0, 16, 16).mm(y));
  EXPECT_NEAR(options.front().loss, error, 1e-6 * factors.energy());
}

TEST(LayerFactors, TablesGetSmallerAndComputeMore) {
  const Tensor x = normal({12, 50}, 5);
  LayerFactors factors(FactoredLayer{.rows = at::eye(12, at::kDouble), .moments = x.mm(x.t()).unsqueeze(0), .output_positions = 5, .table_rows = 60});
  const auto options = factors.options({.step = 4});
  ASSERT_EQ(options.size(), 2u);                                        // 12 * (60 + 12) > 60 * 12
  for (const FactorOption& option : options) {
    EXPECT_EQ(option.num_weights, option.rank * (60 + 12));
    EXPECT_EQ(option.macs, 5 * option.rank * 12);
    const double error = squares((factors.layer().rows - factors.product(option, factors.factors(option))).mm(x));
    EXPECT_NEAR(option.loss, error, 1e-6 * factors.energy());
  }
}

}  // namespace
}  // namespace niwaki
