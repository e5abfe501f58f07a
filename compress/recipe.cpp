#include "compress/recipe.h"

#include "compress/recipe_yaml.h"

#include <filesystem>
#include <fstream>
#include <sstream>

namespace niwaki {
namespace {

constexpr size_t kMostBytes = 1 << 20;

struct Key {
  const char* path;
  const char* type;                          // map, int, number, bool, text, size, amount, list, steps, or a|b|c
};

/// Everything a recipe may say beside its steps.
constexpr Key kKeys[] = {
    {"version", "int"},
    {"model", "map"}, {"model.path", "text"}, {"model.sha256", "text"},
    {"output", "map"}, {"output.path", "text"}, {"output.external_data", "auto|always|never"}, {"output.opset", "opset"},
    {"output.encode", "auto|off"}, {"output.names", "keep|short"}, {"output.cleanup", "exact|none"},
    {"target", "onnxruntime-cpu|onnxruntime-cpu-novnni|generic"},
    {"data", "map"},
    {"data.calibration", "map"}, {"data.calibration.path", "text"}, {"data.calibration.samples", "int"},
    {"data.calibration.preprocess", "any"}, {"data.calibration.csv", "any"},
    {"data.evaluation", "map"}, {"data.evaluation.path", "text"}, {"data.evaluation.samples", "int"}, {"data.evaluation.metric", "text"},
    {"data.evaluation.preprocess", "any"}, {"data.evaluation.csv", "any"},
    {"data.train", "map"}, {"data.train.path", "text"}, {"data.train.samples", "int"},
    {"data.train.preprocess", "any"}, {"data.train.csv", "any"},
    {"data.batch", "int"}, {"data.inputs", "any"},
    {"steps", "steps"},
    {"gates", "map"},
    {"gates.size", "map"}, {"gates.size.max", "size"},
    {"gates.quality", "map"}, {"gates.quality.metric", "text"}, {"gates.quality.max_drop", "text"},
    {"gates.latency", "map"}, {"gates.latency.max_ratio", "amount"},
    {"run", "map"}, {"run.seed", "int"}, {"run.threads", "int"}, {"run.verify", "auto|onnxruntime|builtin"}, {"run.latency", "auto|on|off"}, {"run.resume", "auto|required|never"},
    {"report", "map"}, {"report.dir", "text"}, {"report.formats", "list"}};

const Key* find_key(const std::string& path) {
  for (const Key& key : kKeys) {
    if (key.path == path) return &key;
  }
  return nullptr;
}

std::string joined(const std::string& path, const std::string& key) { return path.empty() ? key : path + "." + key; }

/// "" where the value fits, else what is needed.
std::string misfit(const Json& value, const std::string& type) {
  const auto needed = [](bool fits, const std::string& text) { return fits ? "" : text; };
  if (type == "any") return "";
  if (type == "map") return needed(value.is_object(), "a block of keys");
  if (type == "steps") return needed(value.is_array(), "a list of steps");
  if (type == "int") return needed(value.is_number_integer(), "a whole number");
  if (type == "number") return needed(value.is_number(), "a number");
  if (type == "bool") return needed(value.is_boolean(), "true or false");
  if (type == "text") return needed(value.is_string(), "text");
  if (type == "size") return needed(value.is_string() || value.is_number_integer(), "a size such as 300KB");
  if (type == "amount") return needed(value.is_string() || value.is_number(), "a number such as 0.8, or 80%");
  if (type == "opset") return needed(value.is_number_integer() || value == "keep", "a whole number, or keep");
  if (type == "list") {
    const bool is_list = value.is_array() && std::all_of(value.begin(), value.end(), [](const Json& item) { return item.is_string(); });
    return needed(is_list || value.is_string(), "a list of texts");
  }
  std::istringstream choices(type);
  for (std::string choice; std::getline(choices, choice, '|');) {
    if (value == choice) return "";
  }
  return "one of " + type;
}

class Checker {
 public:
  Checker(Recipe& recipe, const YamlDocument& yaml, const KnownSteps& known) : recipe_(recipe), yaml_(yaml), known_(known) {}

  void check() {
    if (!recipe_.document.is_object()) throw UsageError("E2005", "a recipe is a block of keys", {.where = recipe_.path + ":1:1", .found = "needed version, model, output and steps"});
    check_map(recipe_.document, "");
    for (const char* key : {"version", "model.path", "steps"}) {
      if (recipe_.at(key).is_null()) throw UsageError("E2005", cat("the recipe has no '", key, "'"), {.where = recipe_.path, .help = cat("add it: ", key == std::string("version") ? "`version: 1`" : "see the recipe in the documentation")});
    }
    if (recipe_.at("version") != 1) throw UsageError("E2005", "unknown version of recipes", {.where = value_place("version"), .found = cat("found ", recipe_.at("version").dump(), "; needed 1")});
    const Json& steps = recipe_.document["steps"];
    for (size_t i = 0; i < steps.size(); ++i) check_step(steps[i], cat("steps.", i));
  }

 private:
  std::string value_place(const std::string& path) const { return recipe_.place(path); }
  std::string key_place(const std::string& path) const {
    const auto found = yaml_.key_places.find(path);
    return found == yaml_.key_places.end() ? recipe_.place(path) : recipe_.path + ":" + found->second;
  }
  void refuse_type(const std::string& path, const std::string& name, const Json& value, const std::string& needed) const {
    throw UsageError("E2005", cat("'", printable(name), "' is ", printable(value.dump()), "; needed ", needed), {.where = value_place(path), .help = "`niwaki passes --schema` describes recipes"});
  }
  template <typename Names>
  void refuse_key(const std::string& path, const std::string& name, const std::string& where, const Names& names) const {
    const std::string near = nearest(name, names);
    throw UsageError("E2004", cat("unknown key '", printable(name), "'", where), {.where = key_place(path), .help = near.empty() ? "`niwaki passes --schema` lists the keys" : cat("did you mean '", near, "'?")});
  }

  void check_map(const Json& map, const std::string& path) const {
    for (const auto& [name, value] : map.items()) {
      const std::string child = joined(path, name);
      const Key* key = find_key(child);
      if (key == nullptr) {
        std::vector<std::string> names;
        for (const Key& each : kKeys) {
          const std::string other = each.path;
          const size_t dot = other.rfind('.');
          if ((dot == std::string::npos ? "" : other.substr(0, dot)) == path) names.push_back(other.substr(dot == std::string::npos ? 0 : dot + 1));
        }
        refuse_key(child, name, path.empty() ? "" : cat(" in ", path), names);
      }
      const std::string needed = misfit(value, key->type);
      if (!needed.empty()) refuse_type(child, name, value, needed);
      if (std::string(key->type) == "map") check_map(value, child);
    }
  }

  void check_step(const Json& step, const std::string& path) {
    const bool is_pair = step.is_object() && step.size() == 1;
    if (!is_pair && !step.is_string()) refuse_type(path, "step", step, "one name with its options, such as `quantize: {bits: 8}`");
    const std::string name = step.is_string() ? step.get<std::string>() : step.begin().key();
    const auto found = known_.find(name);
    if (found == known_.end()) {
      std::vector<std::string> names;
      for (const auto& [each, options] : known_) names.push_back(each);
      const std::string near = nearest(name, names);
      throw UsageError("E2004", cat("unknown step '", printable(name), "'"), {.where = step.is_string() ? value_place(path) : key_place(joined(path, name)), .help = near.empty() ? "`niwaki passes` lists the passes" : cat("did you mean '", near, "'?")});
    }
    const std::string here = joined(path, name);
    Json options = step.is_string() || step.begin()->is_null() ? Json::object() : *step.begin();
    if (!options.is_object()) refuse_type(here, name, options, "its options, such as {bits: 8}");
    check_options(options, here, found->second, cat(" in step ", recipe_.steps.size() + 1, " (", name, ")"));
    recipe_.steps.push_back({name, std::move(options), step.is_string() ? value_place(path) : key_place(here)});
  }

  void check_options(const Json& options, const std::string& path, const std::vector<OptionText>& known, const std::string& where) const {
    std::map<std::string, std::string> types = {{"keep", "list"}, {"only", "list"}};
    for (const OptionText& option : known) types[option.name] = option.type;
    for (const auto& [name, value] : options.items()) {
      const auto found = types.find(name);
      if (found == types.end()) {
        std::vector<std::string> names;
        for (const auto& [each, type] : types) names.push_back(each);
        refuse_key(joined(path, name), name, where, names);
      }
      const std::string needed = misfit(value, found->second);
      if (!needed.empty()) refuse_type(joined(path, name), name, value, needed);
    }
  }

  Recipe& recipe_;
  const YamlDocument& yaml_;
  const KnownSteps& known_;
};

/// Sets "steps.0.bits" or "run.seed"; a step's name may be left out.
void override_value(Recipe& recipe, const std::string& path, const std::string& text) {
  std::istringstream parts(path);
  Json* at = &recipe.document;
  std::string canonical;
  for (std::string part; std::getline(parts, part, '.');) {
    if (at->is_array()) {
      const Json index = yaml_scalar(part);
      if (!index.is_number_integer() || index.get<int64_t>() < 0 || index.get<size_t>() >= at->size()) {
        throw UsageError("E2004", cat("--set '", printable(path), "': there is no step ", printable(part)), {.found = cat("the recipe has ", at->size())});
      }
      at = &(*at)[index.get<size_t>()];
      canonical = joined(canonical, part);
      continue;
    }
    if (canonical.starts_with("steps.") && std::count(canonical.begin(), canonical.end(), '.') == 1) {
      if (at->is_string()) *at = {{at->get<std::string>(), Json::object()}};
      if (at->is_object() && at->size() == 1 && !at->contains(part)) {
        const std::string name = at->begin().key();
        canonical = joined(canonical, name);
        at = &*at->begin();
      }
    }
    if (at->is_null()) *at = Json::object();
    if (!at->is_object()) throw UsageError("E2004", cat("--set '", printable(path), "': there is no such key"), {.help = "`niwaki run RECIPE --print-config` lists the keys"});
    at = &(*at)[part];
    canonical = joined(canonical, part);
  }
  *at = yaml_scalar(text);
  recipe.places[canonical] = "--set";
}

}  // namespace

const Json& Recipe::at(const std::string& key) const {
  static const Json nothing;
  const Json* value = &document;
  std::istringstream parts(key);
  for (std::string part; std::getline(parts, part, '.');) {
    if (!value->is_object() || !value->contains(part)) return nothing;
    value = &(*value)[part];
  }
  return *value;
}

std::string Recipe::place(const std::string& key) const {
  const auto found = places.find(key);
  return found == places.end() ? path : found->second;
}

Recipe parse_recipe(const std::string& text, const std::string& path, const KnownSteps& known, const std::map<std::string, std::string>& overrides) {
  const YamlDocument yaml = parse_yaml(text, path);
  Recipe recipe{.path = path, .document = yaml.value};
  for (const auto& [key, place] : yaml.value_places) recipe.places[key] = path + ":" + place;
  for (const auto& [key, value] : overrides) override_value(recipe, key, value);
  Checker(recipe, yaml, known).check();
  return recipe;
}

Recipe read_recipe(const std::string& path, const KnownSteps& known, const std::map<std::string, std::string>& overrides) {
  std::ifstream file(path, std::ios::binary);
  std::error_code problem;
  if (!file || std::filesystem::is_directory(path, problem)) throw EnvironmentError("E4004", cat("no such recipe: '", printable(path), "'"), {.help = "give the path of a YAML file"});
  std::string text(kMostBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(file.gcount()));
  if (text.size() > kMostBytes) throw UsageError("E1004", "limit 'yaml_bytes' is exceeded", {.where = path, .found = cat("needed at most ", kMostBytes, " bytes")});
  return parse_recipe(text, path, known, overrides);
}

Json recipe_schema(const KnownSteps& known) {
  const auto typed = [](const std::string& type) -> Json {
    if (type == "map") return {{"type", "object"}, {"properties", Json::object()}, {"additionalProperties", false}};
    if (type == "int") return {{"type", "integer"}};
    if (type == "number") return {{"type", "number"}};
    if (type == "bool") return {{"type", "boolean"}};
    if (type == "text") return {{"type", "string"}};
    if (type == "list") return {{"type", Json::array({"array", "string"})}, {"items", {{"type", "string"}}}};
    if (type == "opset" || type == "size") return {{"type", Json::array({"integer", "string"})}};
    if (type == "amount") return {{"type", Json::array({"number", "string"})}};
    if (type == "steps" || type == "any") return Json::object();
    Json choices = Json::array();
    std::istringstream words(type);
    for (std::string word; std::getline(words, word, '|');) choices.push_back(word);
    return {{"enum", choices}};
  };
  Json schema = {{"$schema", "https://json-schema.org/draft/2020-12/schema"}, {"title", "Niwaki recipe"}, {"type", "object"},
                 {"properties", Json::object()}, {"required", {"version", "model", "steps"}}, {"additionalProperties", false}};
  for (const Key& key : kKeys) {
    Json* at = &schema;
    std::istringstream parts(key.path);
    std::string part;
    while (std::getline(parts, part, '.')) at = &(*at)["properties"][part];
    *at = typed(key.type);
  }
  Json step_kinds = Json::object(), names = Json::array();
  for (const auto& [name, options] : known) {
    Json properties = {{"keep", typed("list")}, {"only", typed("list")}};
    for (const OptionText& option : options) {
      properties[option.name] = typed(option.type);
      properties[option.name]["description"] = option.help;
      if (!option.otherwise.empty()) properties[option.name]["default"] = Json::parse(option.otherwise);
    }
    step_kinds[name] = {{"type", Json::array({"object", "null"})}, {"properties", properties}, {"additionalProperties", false}};
    names.push_back(name);
  }
  const Json one_step = {{"type", "object"}, {"properties", step_kinds}, {"additionalProperties", false}, {"minProperties", 1}, {"maxProperties", 1}};
  schema["properties"]["steps"] = {{"type", "array"}, {"items", {{"anyOf", Json::array({one_step, Json{{"enum", names}}})}}}};
  return schema;
}

}  // namespace niwaki
