#include "formats/csv.h"

#include <nlohmann/json.hpp>

#include "compress/error.h"
#include "tests/formats/temporary_folder.h"

namespace niwaki {
namespace {

class Csv : public TemporaryFolder {
 protected:
  SampleArrays open(const std::string& text, const CsvOptions& options = {}) {
    return open_csv(put("rows.csv", text), options);
  }
  std::string refusal(const std::string& text, const CsvOptions& options = {}) {
    try {
      open(text, options);
      return "";
    } catch (const Error& error) {
      const std::string& where = error.details().where;
      return cat(error.code(), ": ", error.message(), " @ ", where.substr(where.find("rows.csv")));
    }
  }
};

Tensor all(const SampleArrays& arrays, const std::string& name) {
  const SampleArray& array = *arrays.at(name);
  return array.rows(0, array.sizes().at(0)).tensor;
}

TEST_F(Csv, TakesTheLabelFromItsColumn) {
  const Tensor x = at::tensor({1.5, 2.0, -3.0, 4.0}).reshape({2, 2}).to(at::kDouble);
  const Tensor labels = at::tensor({7, 8}, at::kLong);
  const auto expect = [&](const SampleArrays& arrays) {
    EXPECT_TRUE(at::equal(all(arrays, "arr_0"), x));
    EXPECT_TRUE(at::equal(all(arrays, "labels"), labels));
  };
  expect(open("7,1.5,2\n8,-3,4\n"));
  expect(open("1.5,2,7\n-3,4,8\n", {.label = "last"}));
  expect(open("a,class,b\n1.5,7,2\n-3,8,4\n", {.label = "class"}));
  expect(open("class\ta\tb\n7\t1.5\t2\n8\t-3\t4\n"));
  expect(open("\"7\";\"1.5\";2\n8;-3;4\n", {.delimiter = ';'}));
  expect(open("0,0,0\n7,1.5,2\n8,-3,4\n", {.header = CsvOptions::Header::yes}));
  const SampleArrays unlabelled = open("1.5,2\n-3,4\n", {.label = "none"});
  EXPECT_FALSE(unlabelled.contains("labels"));
  EXPECT_TRUE(at::equal(all(unlabelled, "arr_0"), x));
}

TEST_F(Csv, LabelsThatAreNoIntegersStayFractions) {
  const SampleArrays arrays = open("0.5,1\n1,2\n");
  EXPECT_EQ(arrays.at("labels")->dtype(), DType::float64);
  EXPECT_TRUE(at::equal(all(arrays, "labels"), at::tensor({0.5, 1.0}, at::kDouble)));
}

TEST_F(Csv, ReadsAnyRows) {
  std::string text = "label,x\n";
  for (int i = 0; i < 1000; ++i) text += cat(i % 10, ",", i, "\n");
  const SampleArrays arrays = open(text);
  EXPECT_EQ(arrays.at("arr_0")->sizes(), (std::vector<int64_t>{1000, 1}));
  for (const int64_t first : {0, 63, 64, 130, 999}) {
    EXPECT_EQ(arrays.at("arr_0")->rows(first, 1).tensor.item<double>(), static_cast<double>(first));
    EXPECT_EQ(arrays.at("labels")->rows(first, 1).tensor.item<int64_t>(), first % 10);
  }
  EXPECT_TRUE(at::equal(arrays.at("arr_0")->rows(60, 200).tensor.flatten(),
                        at::arange(60, 260, at::kDouble)));
  EXPECT_EQ(arrays.at("arr_0")->rows(5, 0).tensor.size(0), 0);
}

TEST_F(Csv, RefusesWithLineAndColumn) {
  EXPECT_EQ(refusal("1,2\n3,x\n"), "E1707: 'x' is not a number @ rows.csv, line 2, column 2");
  EXPECT_EQ(refusal("1,2\n3,\n"), "E1707: '' is not a number @ rows.csv, line 2, column 2");
  EXPECT_EQ(refusal("1,2\n3,4,5\n"),
            "E1707: a row has more or fewer columns than those before @ rows.csv, line 2");
  EXPECT_EQ(refusal("1,2\n3"),
            "E1707: a row has more or fewer columns than those before @ rows.csv, line 2");
  EXPECT_EQ(refusal("a,b\n1,2\n", {.header = CsvOptions::Header::no}),
            "E1707: 'a' is not a number @ rows.csv, line 1, column 1");
  EXPECT_EQ(refusal("1\n2\n"),
            "E1707: the rows have one column, which is taken for the label @ rows.csv, line 1, column 1");
  EXPECT_EQ(refusal("a,b\n1,2\n", {.label = "c"}),
            "E1706: there is no column 'c' for labels @ rows.csv, line 1");
  EXPECT_EQ(refusal("1,2\n", {.label = "c"}),
            "E1706: there is no column 'c' for labels @ rows.csv, line 1");
  EXPECT_EQ(refusal("a,b\n"), "E1712: the file holds no row of numbers @ rows.csv");
  EXPECT_EQ(refusal("\n\n"), "E1712: the file holds no row of numbers @ rows.csv");
}

TEST_F(Csv, EveryCutLoadsOrIsRefused) {
  const std::string text = "label,\"first, name\",b\r\n1,\"2.5\",-3e2\r\n2,\"4\",5\r\n";
  for (size_t i = 0; i <= text.size(); ++i) {
    const std::string code = refusal(text.substr(0, i)).substr(0, 5);
    EXPECT_TRUE(code.empty() || code == "E1707" || code == "E1712") << i << " " << code;
    EXPECT_TRUE(!code.empty() || i > text.find("\n1")) << i;
  }
}

TEST_F(Csv, SaysWhereAFileChangedUnderIt) {
  const SampleArrays arrays = open("1,2\n3,4\n");
  put("rows.csv", "1,2\n");  // the descriptor stays, the file is shorter
  EXPECT_THROW(arrays.at("arr_0")->rows(0, 2), ModelError);
}

std::string code_of(const Json& block) {
  try {
    parse_csv_options(block, "recipe.yaml:3:4");
    return "";
  } catch (const Error& error) {
    return error.code();
  }
}

TEST(CsvOptionsTest, ReadsBlocksAndFlags) {
  const CsvOptions options =
      parse_csv_options(csv_block_of("label=last,header=false,delimiter=;"), "--csv");
  EXPECT_EQ(options.label, "last");
  EXPECT_EQ(options.header, CsvOptions::Header::no);
  EXPECT_EQ(options.delimiter, ';');
  EXPECT_EQ(parse_csv_options(csv_block_of("delimiter=,,label=x"), "").delimiter, ',');
  EXPECT_EQ(parse_csv_options(csv_block_of("delimiter=tab"), "").delimiter, '\t');
  EXPECT_EQ(parse_csv_options(Json{{"delimiter", "auto"}}, "").delimiter, 0);
  EXPECT_EQ(code_of({{"labels", "last"}}), "E2004");
  EXPECT_EQ(code_of({{"header", "yes"}}), "E2005");
  EXPECT_EQ(code_of({{"label", 3}}), "E2005");
  EXPECT_EQ(code_of({{"delimiter", "ab"}}), "E2005");
  EXPECT_EQ(code_of({{"delimiter", "1"}}), "E2005");
  EXPECT_EQ(code_of("last"), "E2005");
  EXPECT_THROW(csv_block_of("label"), UsageError);
  EXPECT_THROW(csv_block_of("label=a,label=b"), UsageError);
}

}  // namespace
}  // namespace niwaki
