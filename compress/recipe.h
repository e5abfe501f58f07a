#pragma once

#include "compress/options.h"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace niwaki {

/// Options of every step that a recipe may name: passes and verbs.
using KnownSteps = std::map<std::string, std::vector<OptionText>>;

struct RecipeStep {
  std::string name;
  Json options;
  std::string place;                         // "recipe.yaml:12:5"
};

/// A recipe as written, every key known and of its type; paths are still relative to it.
struct Recipe {
  std::string path;
  Json document;
  std::vector<RecipeStep> steps;
  std::map<std::string, std::string> places; // "data.calibration.path" -> "recipe.yaml:5:22" or "--set"

  /// The value behind "output.path", or null.
  const Json& at(const std::string& key) const;
  std::string place(const std::string& key) const;
};

/// Reads YAML without anchors, tags, repeated keys and second documents; `overrides` replace values ("run.seed" -> "1").
/// UsageError E2003 (syntax), E2004 (unknown key), E2005 (type), E2006 (what YAML allows and a recipe does not), each with
/// line and column; E4004 where there is no file, E1004 where it is too large or deep.
Recipe read_recipe(const std::string& path, const KnownSteps& known, const std::map<std::string, std::string>& overrides = {});
Recipe parse_recipe(const std::string& text, const std::string& path, const KnownSteps& known,
                    const std::map<std::string, std::string>& overrides = {});

/// JSON Schema of recipes.
Json recipe_schema(const KnownSteps& known);

}  // namespace niwaki
