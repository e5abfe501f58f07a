#include "compress/recipe_yaml.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <charconv>
#include <cmath>
#include <sstream>

namespace niwaki {
namespace {

constexpr size_t kMostDepth = 32;

std::string place_of(const YAML::Mark& mark) { return cat(mark.line + 1, ":", mark.column + 1); }

/// Builds values from the parser's events, and refuses what a recipe may not use.
class Builder : public YAML::EventHandler {
 public:
  explicit Builder(std::string path) : path_(std::move(path)) {}

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++num_documents_ > 1) refuse(mark, "a second document");
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    check(mark, "", anchor);
    put(mark, nullptr);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override { refuse(mark, "an alias"); }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, const std::string& value) override {
    check(mark, tag, anchor);
    if (wants_key()) return key(mark, value);
    put(mark, tag == "!" ? Json(value) : yaml_scalar(value));
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, YAML::EmitterStyle::value) override {
    check(mark, tag, anchor);
    open(mark, Json::array());
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, YAML::EmitterStyle::value) override {
    check(mark, tag, anchor);
    open(mark, Json::object());
  }
  void OnMapEnd() override { close(); }

  YamlDocument document;

 private:
  struct Level {
    Json value;
    std::string path;                        // of this collection
    std::string key;                         // of a map, once it was read
    bool has_key = false;
  };

  [[noreturn]] void refuse(const YAML::Mark& mark, const std::string& what) const {
    throw UsageError("E2006", cat("a recipe may not have ", what), {.where = cat(path_, ":", place_of(mark)), .help = "write the value out"});
  }
  void check(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) const {
    if (anchor != 0) refuse(mark, "an anchor");
    if (tag != "" && tag != "?" && tag != "!") refuse(mark, cat("the tag '", printable(tag), "'"));
  }
  bool wants_key() const { return !levels_.empty() && levels_.back().value.is_object() && !levels_.back().has_key; }

  void key(const YAML::Mark& mark, const std::string& name) {
    Level& level = levels_.back();
    if (level.value.contains(name)) {
      throw UsageError("E2006", cat("key '", printable(name), "' stands twice"), {.where = cat(path_, ":", place_of(mark)), .help = "keep one of them"});
    }
    level.key = name;
    level.has_key = true;
    document.key_places[child_path()] = place_of(mark);
  }
  std::string child_path() const {
    if (levels_.empty()) return "";
    const Level& level = levels_.back();
    const std::string name = level.value.is_object() ? level.key : std::to_string(level.value.size());
    return level.path.empty() ? name : level.path + "." + name;
  }
  void put(const YAML::Mark& mark, Json value) {
    if (wants_key()) refuse(mark, "a key that is no text");
    document.value_places[child_path()] = place_of(mark);
    attach(std::move(value));
  }
  void attach(Json value) {
    if (levels_.empty()) {
      document.value = std::move(value);
      return;
    }
    Level& level = levels_.back();
    if (level.value.is_object()) {
      level.value[level.key] = std::move(value);
      level.has_key = false;
    } else {
      level.value.push_back(std::move(value));
    }
  }
  void open(const YAML::Mark& mark, Json empty) {
    if (wants_key()) refuse(mark, "a key that is no text");
    if (levels_.size() >= kMostDepth) {
      throw UsageError("E1004", cat("limit 'yaml_depth' is exceeded"), {.where = cat(path_, ":", place_of(mark)), .found = cat("needed at most ", kMostDepth)});
    }
    const std::string path = child_path();
    document.value_places[path] = place_of(mark);
    levels_.push_back({std::move(empty), path, "", false});
  }
  void close() {
    Json value = std::move(levels_.back().value);
    levels_.pop_back();
    attach(std::move(value));
  }

  std::string path_;
  std::vector<Level> levels_;
  int num_documents_ = 0;
};

}  // namespace

Json yaml_scalar(const std::string& text) {
  if (text == "true") return true;
  if (text == "false") return false;
  if (text.empty() || text == "~" || text == "null") return nullptr;
  const char* begin = text.data() + (text[0] == '+' && text.size() > 1 ? 1 : 0);
  const char* end = text.data() + text.size();
  int64_t whole = 0;
  if (const auto [last, problem] = std::from_chars(begin, end, whole); problem == std::errc() && last == end) return whole;
  double number = 0;
  if (const auto [last, problem] = std::from_chars(begin, end, number); problem == std::errc() && last == end && std::isfinite(number)) return number;
  return text;
}

YamlDocument parse_yaml(const std::string& text, const std::string& path) {
  Builder builder(path);
  try {
    std::istringstream stream(text);
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const YAML::Exception& error) {
    throw UsageError("E2003", cat("this is not YAML: ", printable(error.msg)), {.where = cat(path, ":", place_of(error.mark)), .help = "check brackets, quotes and indentation at this place"});
  }
  return std::move(builder.document);
}

}  // namespace niwaki
