#include "compress/options.h"

#include <gtest/gtest.h>

namespace niwaki {
namespace {

enum class Colour { red, green };
constexpr auto names(Colour) { return std::array{"red", "green"}; }

struct Paint {
  Colour colour = Colour::green;
  int coats = 2;
  double gloss = 0.5;
  bool dry = true;
  std::string brand = "any";
  std::vector<std::string> rooms;
  std::optional<int> year;
  void validate() const {
    if (coats == 7) throw UsageError("E2008", "seven coats peel");
  }
  static constexpr auto fields() {
    using O = Paint;
    return std::tuple{field("colour", &O::colour, "what colour"), field("coats", &O::coats, "how many").between(1, 9),
                      field("gloss", &O::gloss, "share").between(0, 1), field("dry", &O::dry, "wait"), field("brand", &O::brand, "whose"),
                      field("rooms", &O::rooms, "where"), field("year", &O::year, "when")};
  }
};

std::string refusal(const Json& json) {
  try {
    parse_options<Paint>(json);
    return "";
  } catch (const UsageError& error) {
    return error.code() + ": " + error.message() + (error.details().help.empty() ? "" : " (" + error.details().help + ")");
  }
}

TEST(Options, ReadsEveryType) {
  const Paint paint = parse_options<Paint>({{"colour", "red"}, {"coats", 3}, {"gloss", 1}, {"dry", false}, {"brand", "b"}, {"rooms", {"hall", "attic"}}, {"year", 1999}});
  EXPECT_EQ(paint.colour, Colour::red);
  EXPECT_EQ(paint.coats, 3);
  EXPECT_EQ(paint.gloss, 1.0);
  EXPECT_FALSE(paint.dry);
  EXPECT_EQ(paint.brand, "b");
  EXPECT_EQ(paint.rooms, (std::vector<std::string>{"hall", "attic"}));
  EXPECT_EQ(paint.year, 1999);
  EXPECT_EQ(parse_options<Paint>({{"rooms", "hall"}}).rooms, std::vector<std::string>{"hall"});
}

TEST(Options, DefaultsComeBack) {
  const Json json = options_json(Paint{});
  EXPECT_EQ(json.dump(), R"({"brand":"any","coats":2,"colour":"green","dry":true,"gloss":0.5,"rooms":[]})");
  EXPECT_EQ(options_json(parse_options<Paint>(json)), json);
}

TEST(Options, RefusesWithTheExactMessage) {
  EXPECT_EQ(refusal({{"coat", 1}}), "E2004: unknown option 'coat' (did you mean 'coats'?)");
  EXPECT_EQ(refusal({{"zzzzzzzz", 1}}), "E2004: unknown option 'zzzzzzzz'");
  EXPECT_EQ(refusal({{"colour", "blue"}}), "E2005: option 'colour' is \"blue\"; needed one of red|green");
  EXPECT_EQ(refusal({{"coats", 1.5}}), "E2005: option 'coats' is 1.5; needed a whole number");
  EXPECT_EQ(refusal({{"gloss", "much"}}), "E2005: option 'gloss' is \"much\"; needed a number");
  EXPECT_EQ(refusal({{"dry", 1}}), "E2005: option 'dry' is 1; needed true or false");
  EXPECT_EQ(refusal({{"brand", true}}), "E2005: option 'brand' is true; needed text");
  EXPECT_EQ(refusal({{"coats", 0}}), "E2008: option 'coats' is 0; needed 1 to 9");
  EXPECT_EQ(refusal({{"coats", 10}}), "E2008: option 'coats' is 10; needed 1 to 9");
  EXPECT_EQ(refusal({{"gloss", 1.5}}), "E2008: option 'gloss' is 1.5; needed 0 to 1");
  EXPECT_EQ(refusal({{"coats", 7}}), "E2008: seven coats peel");
}

TEST(Options, NumbersBeyondTheirTypeAreRefused) {
  EXPECT_EQ(refusal({{"coats", 4294967298}}), "E2005: option 'coats' is 4294967298; needed a smaller number");   // 2 in 32 bits
  EXPECT_EQ(refusal({{"year", 4294967298}}).substr(0, 5), "E2005");
}

TEST(Options, ListsOfOtherThingsAreRefused) {
  EXPECT_EQ(refusal({{"rooms", {1, 2}}}), "E2005: option 'rooms' is [1,2]; needed a list of text");
  EXPECT_EQ(refusal({{"rooms", 1}}), "E2005: option 'rooms' is 1; needed a list of text");
}

TEST(Options, TextNamesTypeAndDefault) {
  const std::vector<OptionText> texts = options_text<Paint>();
  ASSERT_EQ(texts.size(), 7u);
  EXPECT_EQ(texts[0].name, "colour");
  EXPECT_EQ(texts[0].type, "red|green");
  EXPECT_EQ(texts[0].otherwise, "\"green\"");
  EXPECT_EQ(texts[1].type, "int");
  EXPECT_EQ(texts[2].type, "number");
  EXPECT_EQ(texts[3].type, "bool");
  EXPECT_EQ(texts[4].type, "text");
  EXPECT_EQ(texts[5].type, "list");
  EXPECT_EQ(texts[6].type, "int");
  EXPECT_EQ(texts[6].otherwise, "");
}

}  // namespace
}  // namespace niwaki
