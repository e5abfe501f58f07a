#include "passes/store/sparse_form.h"

#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

std::vector<StoredForm> forms_of(const Tensor& numbers, int64_t opset = 11) {
  Graph graph;
  graph.header().opsets[""] = opset;
  return sparse_forms(graph, make_constant(numbers));
}

std::set<std::string> operators(const StoredForm& form) {
  std::set<std::string> found;
  for (const auto& term : form.terms()) {
    if (const auto* operation = std::get_if<StoredForm::Operation>(&term)) found.insert(operation->op);
  }
  return found;
}

/// How many forms have this operator; all of them give the numbers back.
int forms_with(const std::string& op, const Tensor& numbers) {
  Graph graph;
  graph.header().opsets[""] = 11;
  int count = 0;
  for (const StoredForm& form : forms_of(numbers)) {
    EXPECT_TRUE(same_content(expanded(graph, form), make_constant(numbers)));
    count += static_cast<int>(operators(form).contains(op));
  }
  return count;
}

Tensor sparse(double share, at::ScalarType type = at::kFloat) {
  Tensor numbers = (random_tensor({100, 60}, 4) * 40).to(type);
  return numbers.masked_fill(at::arange(6000).reshape({100, 60}).mul(7919).remainder(6000) >= static_cast<int64_t>(share * 6000), 0);
}

TEST(SparseForm, GapsSkipsAndMasksComeBack) {
  for (const double share : {0.003, 0.02, 0.1, 0.3}) {
    for (const at::ScalarType type : {at::kFloat, at::kChar, at::kHalf, at::kLong}) {
      EXPECT_GE(forms_with("ScatterElements", sparse(share, type)), 2) << share;
      EXPECT_GE(forms_with("Mul", sparse(share, type)), share < 0.05 || share > 0.15 ? 1 : 0) << share;
    }
  }
  EXPECT_EQ(forms_with("ScatterElements", sparse(0.7)), 0);
  EXPECT_GE(forms_with("Mul", sparse(0.7)), 1);   // one bit per element
}

TEST(SparseForm, EveryGapComesBack) {
  for (int64_t gap = 1; gap < 600; gap += gap < 64 ? 1 : 37) {
    Tensor numbers = at::zeros({3 * gap + 40});
    for (const int64_t place : {int64_t{0}, gap, 2 * gap, 3 * gap}) numbers[place] = 1.5f + static_cast<float>(place);
    forms_with("ScatterElements", numbers);
    forms_with("ScatterElements", numbers.slice(0, 1).contiguous());
  }
}

TEST(SparseForm, NoPlaceIsWrittenTwice) {
  for (int64_t gap = 1; gap < 64; ++gap) {
    Tensor numbers = at::zeros({5 * gap + 300});
    for (int64_t i = 0; i < 5; ++i) numbers[i * gap] = 2.5f;
    for (const StoredForm& form : forms_of(numbers)) {
      Graph graph;
      graph.header().opsets[""] = 11;
      StoredForm cut;                        // the same terms up to the places
      std::optional<size_t> places;
      for (const auto& term : form.terms()) {
        const auto* operation = std::get_if<StoredForm::Operation>(&term);
        if (operation && operation->op == "ScatterElements") places = operation->inputs[1];
      }
      if (!places) continue;
      for (size_t i = 0; i <= *places; ++i) {
        const auto& term = form.terms()[i];
        if (const auto* constant = std::get_if<Constant>(&term)) cut.constant(*constant);
        else cut.node(std::get<StoredForm::Operation>(term).op, std::get<StoredForm::Operation>(term).inputs, std::get<StoredForm::Operation>(term).attributes);
      }
      const Tensor where = values(expanded(graph, cut));
      EXPECT_EQ(std::get<0>(at::_unique(where)).numel(), where.numel()) << gap;
      EXPECT_LT(where.max().item<int64_t>(), numbers.numel());
    }
  }
}

TEST(SparseForm, NegativeZerosAreNumbers) {
  Tensor numbers = at::zeros({1000});
  numbers[3] = -0.0f;
  numbers[700] = 1;
  EXPECT_GE(forms_with("ScatterElements", numbers), 2);
}

TEST(SparseForm, NeedsZerosAndOpset11) {
  EXPECT_TRUE(forms_of(sparse(0.1), 10).empty());
  EXPECT_TRUE(forms_of(random_tensor({64, 64}, 1)).empty());
  EXPECT_TRUE(forms_of(at::zeros({64})).empty());
}

}  // namespace
}  // namespace niwaki
