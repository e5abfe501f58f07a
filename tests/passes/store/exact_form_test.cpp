#include "passes/store/exact_form.h"

#include "tests/graph_builder.h"

#include <gtest/gtest.h>

#include <limits>

namespace niwaki {
namespace {

/// The operators of the last nodes of those forms that give the constant back bit for bit.
std::set<std::string> exact_operators(const Tensor& numbers, int64_t opset = 13) {
  Graph graph;
  graph.header().opsets[""] = opset;
  const Constant constant = make_constant(numbers);
  std::set<std::string> found;
  for (const StoredForm& form : exact_forms(graph, constant)) {
    if (same_content(expanded(graph, form), constant)) found.insert(std::get<StoredForm::Operation>(form.terms().back()).op);
  }
  return found;
}

TEST(ExactForm, FindsFillsRepeatsAndRanges) {
  EXPECT_EQ(exact_operators(at::full({8, 8}, -0.0f)), std::set<std::string>{"ConstantOfShape"});
  EXPECT_TRUE(exact_operators(random_tensor({1, 8}, 1).expand({16, 8}).contiguous()).contains("Expand"));
  EXPECT_TRUE(exact_operators(at::arange(3, 60, 3)).contains("Range"));
  EXPECT_TRUE(exact_operators(at::arange(0, 64, at::kFloat)).contains("Range"));
}

TEST(ExactForm, FindsCausalMasks) {
  const float low = -std::numeric_limits<float>::infinity();
  for (const int64_t k : {-2, 0, 1}) {
    EXPECT_TRUE(exact_operators(at::full({1, 1, 16, 16}, low).triu(k)).contains("Where")) << k;
    EXPECT_TRUE(exact_operators(at::ones({16, 20}).tril(k)).contains("Where")) << k;
  }
  Tensor broken = at::full({16, 16}, low).triu(1);
  broken[3][7] = 0;
  EXPECT_FALSE(exact_operators(broken).contains("Where"));
  EXPECT_FALSE(exact_operators(at::ones({16, 16}).tril(), 10).contains("Where"));
}

TEST(ExactForm, NarrowsOnlyWhatIsExact) {
  EXPECT_TRUE(exact_operators(at::arange(-100, 100).to(at::kFloat) / 64).contains("Cast"));   // float16
  EXPECT_TRUE(exact_operators(at::randint(0, 200, {64}, at::kLong)).contains("Cast"));
  EXPECT_FALSE(exact_operators(random_tensor({64}, 2)).contains("Cast"));
  EXPECT_FALSE(exact_operators(at::randint(100000, 90000000000, {64}, at::kLong)).contains("Cast"));
}

TEST(ExactForm, CodebooksKeepSignedZerosAndNans) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  Tensor numbers = at::tensor({0.0f, -0.0f, nan, 1.1f, 2.2f, 0.0f, nan, -0.0f}).repeat({40});
  for (const int64_t opset : {7, 13}) {
    const auto found = exact_operators(numbers.reshape({16, 20}), opset);
    EXPECT_TRUE(found.contains("Reshape")) << opset;
  }
}

TEST(ExactForm, OffersSparseAndScaledForms) {
  Tensor numbers = random_tensor({100, 60}, 4);
  numbers.masked_fill_(random_tensor({100, 60}, 5).abs() > 0.1, 0);
  EXPECT_TRUE(exact_operators(numbers.reshape({-1})).contains("ScatterElements"));
  EXPECT_TRUE(exact_operators(((numbers * 30).round() + 0.0f) * 0.37f).contains("Mul"));
}

TEST(ExactForm, IntegersOf4BitsWithZerosComeBack) {
  const Tensor codes = (random_tensor({60, 50}, 4) * 2).round().clamp(-8, 7).masked_fill(random_tensor({60, 50}, 5).abs() > 0.1, 0);
  const Constant constant = make_constant(codes.to(at::kChar), DType::int4);
  Graph graph;
  graph.header().opsets[""] = 21;
  const auto forms = exact_forms(graph, constant);
  EXPECT_GE(forms.size(), 2u);
  for (const StoredForm& form : forms) EXPECT_TRUE(same_content(expanded(graph, form), constant));
}

TEST(ExactForm, TwinsAreTransposedOrReshaped) {
  const Tensor numbers = random_tensor({6, 10}, 6);
  const auto last = [](const std::optional<StoredForm>& form) { return form ? std::get<StoredForm::Operation>(form->terms().back()).op : ""; };
  EXPECT_EQ(last(twin_form(make_constant(numbers.t().contiguous()), ValueId{1}, make_constant(numbers))), "Transpose");
  EXPECT_EQ(last(twin_form(make_constant(numbers.reshape({60})), ValueId{1}, make_constant(numbers))), "Reshape");
  EXPECT_EQ(last(twin_form(make_constant(random_tensor({10, 6}, 7)), ValueId{1}, make_constant(numbers))), "");
}

}  // namespace
}  // namespace niwaki
