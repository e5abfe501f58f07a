#include "passes/factorize/tucker2.h"

#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

Tensor product(const Tucker2& found) { return at::einsum("or,rst,sc->oct", {found.last, found.core, found.first}); }
double squares(const Tensor& x) { return at::square(x).sum().item<double>(); }

TEST(Tucker2, FullRanksReproduceTheWeight) {                            // T9
  const Tensor weight = random_tensor({10, 6, 9}, 1).to(at::kDouble);
  const Tucker2 found = tucker2(weight, 6, 10);
  EXPECT_LT(squares(product(found) - weight), 1e-20 * squares(weight));
  EXPECT_LT(squares(product(tucker2(weight, 5, 10)) - weight), 0.5 * squares(weight));
  EXPECT_GT(squares(product(tucker2(weight, 5, 10)) - weight), 1e-3 * squares(weight));     // control: one less is not enough
}

TEST(Tucker2, EnergyOfTheCoreAndTheErrorAddUp) {                        // T9
  const Tensor weight = random_tensor({12, 8, 9}, 2).to(at::kDouble);
  for (const int64_t rank : {2, 5}) {
    const Tucker2 found = tucker2(weight, rank, rank + 1);
    EXPECT_NEAR(squares(weight), squares(found.core) + squares(weight - product(found)), 1e-10 * squares(weight));
    EXPECT_NEAR(found.error, squares(weight - product(found)), 1e-10 * squares(weight));
  }
}

TEST(Tucker2, IterationIsNoWorseThanHigherOrderSvd) {
  const Tensor w = random_tensor({12, 8, 9}, 3).to(at::kDouble);
  const auto leading = [](const Tensor& m, int64_t rank) { return std::get<0>(at::linalg_svd(m, false)).narrow(1, 0, rank); };
  const Tensor outs = leading(w.reshape({12, -1}), 4), ins = leading(w.transpose(0, 1).reshape({8, -1}), 3);
  const Tensor core = at::einsum("oct,or,cs->rst", {w, outs, ins});
  EXPECT_LE(tucker2(w, 3, 4).error, squares(w) - squares(core) + 1e-12);
}

}  // namespace
}  // namespace niwaki
