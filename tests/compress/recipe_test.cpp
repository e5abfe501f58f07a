#include "compress/recipe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace niwaki {
namespace {

const KnownSteps kKnown = {
    {"quantize", {{"bits", "int", "width", "8"}, {"percentile", "number", "share", "99.99"}, {"mode", "auto|static", "mode", "\"auto\""}, {"symmetric", "bool", "grid", "false"}}},
    {"fold_constants", {}}};

const std::string kStart = "version: 1\nmodel: {path: m.onnx}\noutput: {path: o.onnx}\n";

Recipe parsed(const std::string& text, const std::map<std::string, std::string>& overrides = {}) { return parse_recipe(text, "r.yaml", kKnown, overrides); }

/// "E2004 r.yaml:4:25: message" of a refused recipe.
std::string refusal(const std::string& text) {
  try {
    parsed(text);
  } catch (const UsageError& error) {
    return error.code() + " " + error.what();
  }
  return "accepted";
}

TEST(Recipe, ReadsStepsAndPlaces) {
  const Recipe recipe = parsed(kStart + "steps:\n  - fold_constants\n  - quantize: {bits: 4, keep: [fc, 'op:Conv']}\n  - quantize:\n");
  ASSERT_EQ(recipe.steps.size(), 3u);
  EXPECT_EQ(recipe.steps[0].name, "fold_constants");
  EXPECT_EQ(recipe.steps[1].options, Json::parse(R"({"bits": 4, "keep": ["fc", "op:Conv"]})"));
  EXPECT_EQ(recipe.steps[1].place, "r.yaml:6:5");
  EXPECT_EQ(recipe.steps[2].options, Json::object());
  EXPECT_EQ(recipe.place("steps.1.quantize.bits"), "r.yaml:6:22");
  EXPECT_EQ(recipe.at("model.path"), "m.onnx");
  EXPECT_TRUE(recipe.at("gates.size.max").is_null());
}

TEST(Recipe, NamesUnknownKeysWithTheNearest) {
  EXPECT_EQ(refusal(kStart + "steps:\n  - quantize: {bits: 8, percentil: 99.99}\n"), "E2004 r.yaml:5:25: unknown key 'percentil' in step 1 (quantize)");
  EXPECT_EQ(refusal(kStart + "steps:\n  - quantise: {bits: 8}\n"), "E2004 r.yaml:5:5: unknown step 'quantise'");
  EXPECT_EQ(refusal(kStart + "steps: []\ngate: {}\n"), "E2004 r.yaml:5:1: unknown key 'gate'");
  EXPECT_EQ(refusal(kStart + "steps: []\ngates: {size: {mx: 3KB}}\n"), "E2004 r.yaml:5:16: unknown key 'mx' in gates.size");
  try {
    parsed(kStart + "steps: []\ngates: {size: {mx: 3KB}}\n");
  } catch (const UsageError& error) {
    EXPECT_EQ(error.details().help, "did you mean 'max'?");
  }
}

TEST(Recipe, RefusesWrongTypes) {
  EXPECT_EQ(refusal(kStart + "steps:\n  - quantize: {bits: eight}\n"), "E2005 r.yaml:5:22: 'bits' is \"eight\"; needed a whole number");
  EXPECT_EQ(refusal(kStart + "steps:\n  - quantize: {symmetric: yes}\n"), "E2005 r.yaml:5:27: 'symmetric' is \"yes\"; needed true or false");
  EXPECT_EQ(refusal(kStart + "steps:\n  - quantize: {mode: fast}\n"), "E2005 r.yaml:5:22: 'mode' is \"fast\"; needed one of auto|static");
  EXPECT_EQ(refusal(kStart + "steps:\n  - quantize: {bits: '8'}\n"), "E2005 r.yaml:5:22: 'bits' is \"8\"; needed a whole number");
  EXPECT_EQ(refusal("version: 2\nmodel: {path: m}\nsteps: []\n"), "E2005 r.yaml:1:10: unknown version of recipes");
  EXPECT_EQ(refusal("version: 1\nmodel: {path: m}\n"), "E2005 r.yaml: the recipe has no 'steps'");
  EXPECT_EQ(refusal("- 1\n"), "E2005 r.yaml:1:1: a recipe is a block of keys");
  EXPECT_EQ(refusal(""), "E2005 r.yaml:1:1: a recipe is a block of keys");
}

TEST(Recipe, RefusesWhatYamlAllows) {
  EXPECT_THAT(refusal("version: 1\nmodel: &m {path: m}\nsteps: []\n"), testing::StartsWith("E2006 r.yaml:2:"));
  EXPECT_THAT(refusal("version: 1\nmodel: !!map {path: m}\nsteps: []\n"), testing::StartsWith("E2006 r.yaml:2:"));
  EXPECT_THAT(refusal(kStart + "steps: []\n---\nversion: 1\n"), testing::StartsWith("E2006 r.yaml:"));
  EXPECT_EQ(refusal(kStart + "model: {path: n}\nsteps: []\n"), "E2006 r.yaml:4:1: key 'model' stands twice");
  EXPECT_THAT(refusal("version: 1\nmodel: {path: m\noutput: {path: o}\n"), testing::StartsWith("E2003 r.yaml:"));
  EXPECT_THAT(refusal("a: *b\n"), testing::AnyOf(testing::StartsWith("E2003"), testing::StartsWith("E2006")));
  EXPECT_THAT(refusal(std::string(60, '[') + std::string(60, ']')), testing::StartsWith("E1004"));
  EXPECT_THAT(refusal("? {a: 1}\n: 2\n"), testing::StartsWith("E2006"));
}

TEST(Recipe, OverridesValues) {
  const std::string text = kStart + "steps:\n  - fold_constants\n  - quantize: {bits: 8}\n";
  const Recipe recipe = parsed(text, {{"steps.1.bits", "4"}, {"run.seed", "7"}, {"steps.1.quantize.mode", "static"}});
  EXPECT_EQ(recipe.steps[1].options, Json::parse(R"({"bits": 4, "mode": "static"})"));
  EXPECT_EQ(recipe.at("run.seed"), 7);
  EXPECT_EQ(recipe.place("steps.1.quantize.bits"), "--set");
  EXPECT_THROW(parsed(text, {{"steps.5.bits", "4"}}), UsageError);
  EXPECT_THROW(parsed(text, {{"steps.1.bitz", "4"}}), UsageError);
}

TEST(Recipe, DescribesItself) {
  const Json schema = recipe_schema(kKnown);
  EXPECT_EQ(schema["properties"]["gates"]["properties"]["size"]["properties"]["max"]["type"], Json::parse(R"(["integer", "string"])"));
  const Json& step = schema["properties"]["steps"]["items"]["anyOf"][0]["properties"]["quantize"];
  EXPECT_EQ(step["properties"]["bits"]["default"], 8);
  EXPECT_EQ(step["properties"]["mode"]["enum"], Json::parse(R"(["auto", "static"])"));
}

}  // namespace
}  // namespace niwaki
