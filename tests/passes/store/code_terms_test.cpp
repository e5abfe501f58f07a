#include "passes/store/code_terms.h"

#include "tests/graph_builder.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

Graph at_opset(int64_t opset) {
  Graph graph;
  graph.header().opsets[""] = opset;
  return graph;
}

int64_t constant_bytes(const StoredForm& form) {
  int64_t bytes = 0;
  for (const auto& term : form.terms()) {
    if (const auto* constant = std::get_if<Constant>(&term)) bytes = std::max(bytes, byte_size(*constant));
  }
  return bytes;
}

TEST(CodeTerms, AByteHoldsDigits) {
  const std::map<int64_t, int64_t> want = {{2, 8}, {3, 5}, {4, 4}, {6, 3}, {16, 2}, {17, 1}, {256, 1}};
  for (const auto& [levels, count] : want) EXPECT_EQ(codes_per_byte(levels), count) << levels;
}

TEST(CodeTerms, PackedCodesComeBack) {
  for (const int64_t levels : {2, 3, 4, 6, 16, 256}) {
    for (const int64_t count : {int64_t{40000}, int64_t{40001}}) {
      const Tensor codes = (random_tensor({count}, 1).abs() * 1000).to(at::kLong).remainder(levels);
      StoredForm form;
      packed_term(form, codes, levels);
      EXPECT_TRUE(at::equal(values(expanded(at_opset(13), form)).to(at::kLong), codes)) << levels << " " << count;
      const int64_t digits = codes_per_byte(levels);
      EXPECT_EQ(constant_bytes(form), (count + digits - 1) / digits) << levels;
    }
  }
}

TEST(CodeTerms, CodebooksAreOfferedWhereTheyCanBe) {
  const Tensor bits = at::arange(1001, at::kInt).remainder(5);
  EXPECT_EQ(codebook_sizes(bits, 13), (std::vector<int64_t>{0, 256, 16, 6}));
  EXPECT_EQ(codebook_sizes(bits, 9), (std::vector<int64_t>{0, 256}));   // a short byte needs Slice with inputs
  EXPECT_EQ(codebook_sizes(at::arange(1000, at::kInt), 13), std::vector<int64_t>{0});
}

TEST(CodeTerms, CodedBitsComeBack) {
  const Tensor numbers = at::tensor({0.0f, -0.0f, 1.5f, -2.5f, 0.25f}).repeat({21});
  const Constant like = make_constant(numbers);
  for (const int64_t levels : {0, 256, 16, 6}) {
    StoredForm form;
    form.node("Identity", {coded_term(form, numbers.view(at::kInt), like, levels)});
    EXPECT_TRUE(same_content(expanded(at_opset(13), form), like)) << levels;
  }
}

}  // namespace
}  // namespace niwaki
