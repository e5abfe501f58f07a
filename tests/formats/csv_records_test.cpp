#include "formats/csv_records.h"

#include "compress/error.h"
#include "tests/formats/temporary_folder.h"

namespace niwaki {
namespace {

class CsvRecordsTest : public TemporaryFolder {
 protected:
  using Rows = std::vector<std::vector<std::string>>;
  Rows rows(const std::string& text, char delimiter = ',', const Limits& limits = {}) {
    const FileReader file(put("rows.csv", text));
    CsvRecords records(file, delimiter, limits);
    Rows rows;
    while (records.next()) {
      rows.emplace_back();
      for (size_t i = 0; i < records.size(); ++i) rows.back().emplace_back(records.field(i));
    }
    return rows;
  }
  std::string refusal(const std::string& text, const Limits& limits = {}) {
    try {
      rows(text, ',', limits);
      return "";
    } catch (const Error& error) {
      const std::string& where = error.details().where;
      return cat(error.code(), ": ", error.message(), " @ ", where.substr(where.find("line")));
    }
  }
};

TEST_F(CsvRecordsTest, KnowsEveryLineEnd) {
  const Rows wanted = {{"1", "2"}, {"3", "4"}};
  for (const char* text : {"1,2\n3,4\n", "1,2\n3,4", "1,2\r\n3,4\r\n", "1,2\r3,4\r", "\n1,2\n\n3,4\n\n",
                           "\xef\xbb\xbf" "1,2\n3,4"}) {
    EXPECT_EQ(rows(text), wanted) << text;
  }
  EXPECT_EQ(rows("1\t2\n3\t4\n", '\t'), wanted);
  EXPECT_EQ(rows(""), Rows{});
  EXPECT_EQ(rows(",\n"), (Rows{{"", ""}}));
}

TEST_F(CsvRecordsTest, ReadsQuotes) {
  EXPECT_EQ(rows("\"a,b\",\"say \"\"so\"\"\"\n\"two\nlines\",\"\"\n"),
            (Rows{{"a,b", "say \"so\""}, {"two\nlines", ""}}));
}

TEST_F(CsvRecordsTest, RefusesWrongQuotesWithThePlace) {
  EXPECT_EQ(refusal("1,2\n3,\"4\n5,6\n"),
            "E1707: a quote is open at the end of the file @ line 2, column 2");
  EXPECT_EQ(refusal("1,\"2\"x\n"),
            "E1707: a field goes on behind its closing quote @ line 1, column 2");
  EXPECT_EQ(refusal("\"a\nb\",1\n1,2\"3\n"),
            "E1707: a quote stands inside a field without quotes @ line 3, column 2");
}

TEST_F(CsvRecordsTest, KeepsLimits) {
  EXPECT_EQ(refusal("1,2,3\n", {.csv_columns = 2}), "E1004: limit 'csv_columns' is exceeded @ line 1");
  EXPECT_EQ(refusal(cat("1\n", std::string(200, '1')), {.csv_line_bytes = 100}),
            "E1004: limit 'csv_line_bytes' is exceeded @ line 2");
  EXPECT_EQ(refusal(cat("\"", std::string(200, '1')), {.csv_line_bytes = 100}),
            "E1004: limit 'csv_line_bytes' is exceeded @ line 1");
  EXPECT_EQ(refusal(cat(std::string(99, '1'), "\n"), {.csv_line_bytes = 100}), "");
}

TEST_F(CsvRecordsTest, GoesOnBehindChunksAndFromAnOffset) {
  std::string text;
  for (int i = 0; i < 30000; ++i) text += cat(i, ",\"", i * 2, "\"\r\n");  // several chunks
  const FileReader file(put("rows.csv", text));
  const Limits limits;
  CsvRecords all(file, ',', limits);
  uint64_t offset = 0, line = 0;
  for (int i = 0; i < 30000; ++i) {
    ASSERT_TRUE(all.next());
    ASSERT_EQ(all.field(0), cat(i));
    ASSERT_EQ(all.field(1), cat(i * 2));
    if (i == 20000) {
      offset = all.offset();
      line = all.line();
    }
  }
  EXPECT_FALSE(all.next());
  CsvRecords late(file, ',', limits, offset, line);
  ASSERT_TRUE(late.next());
  EXPECT_EQ(late.field(0), "20000");
  EXPECT_EQ(late.line(), 20001u);
}

TEST(NumberOf, TakesNumbersAlone) {
  EXPECT_EQ(number_of(" -1.5e3\t"), -1500.0);
  EXPECT_EQ(number_of("+2"), 2.0);
  for (const char* text : {"", " ", "1x", "0x10", "1,5", "+-1", "1e999", "label", "1 2"})
    EXPECT_FALSE(number_of(text)) << text;
}

TEST_F(CsvRecordsTest, GuessesTheDelimiter) {
  const auto guess = [&](const std::string& text) {
    return guess_delimiter(FileReader(put("x", text)));
  };
  EXPECT_EQ(guess("1\t2\n"), '\t');
  EXPECT_EQ(guess("1,2\n3\t4\n"), ',');
  EXPECT_EQ(guess("\"a\tb\",1\n"), ',');
  EXPECT_EQ(guess(""), ',');
}

}  // namespace
}  // namespace niwaki
