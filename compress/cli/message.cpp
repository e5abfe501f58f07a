#include "compress/cli/message.h"

#include <cstdio>
#include <cstdlib>
#include <regex>

#include <unistd.h>

namespace niwaki {
namespace {

using Document = nlohmann::json;

std::string help_of(const Error& error) {
  return error.details().help.empty() ? "`niwaki explain " + error.code() + "` tells what it means and what to do" : error.details().help;
}

/// Valid UTF-8, control characters escaped, any length.
std::string clean(const std::string& text) { return printable(text, text.size() + 1); }

Document place_json(const std::string& where) {
  Document place = Document::object();
  if (where.empty()) return place;
  place["text"] = clean(where);
  std::smatch found;
  const std::string first = where.substr(0, where.find(", "));
  if (std::regex_match(first, found, std::regex("(.+?):(\\d{1,9})(?::(\\d{1,9}))?"))) {
    place["file"] = clean(found[1]);
    place["line"] = std::stoll(found[2]);
    if (found[3].matched) place["column"] = std::stoll(found[3]);
  } else if (first.find('.') != std::string::npos || first.find('/') != std::string::npos) {
    place["file"] = clean(first);
  }
  if (std::regex_search(where, found, std::regex("\\bbyte (\\d{1,18})"))) place["offset"] = std::stoll(found[1]);
  if (std::regex_search(where, found, std::regex("\\bnode '([^']*)'"))) place["node"] = clean(found[1]);
  return place;
}

}  // namespace

nlohmann::json error_json(const Error& error) {
  Document json = {{"status", "failed"}, {"exit_code", error.exit_code()}, {"code", error.code()}, {"message", clean(error.message())},
                   {"where", place_json(error.details().where)}, {"help", clean(help_of(error))}};
  const std::string& found = error.details().found;
  const size_t cut = found.find("needed ");
  std::string before = found.substr(0, cut);
  while (!before.empty() && (before.back() == ' ' || before.back() == ';' || before.back() == ',')) before.pop_back();
  if (before.starts_with("found ")) before = before.substr(6);
  json["found"] = clean(before);
  json["needed"] = cut == std::string::npos ? "" : clean(found.substr(cut + 7));
  return json;
}

std::string error_text(const Error& error, bool with_color) {
  std::string text = error.text() + "\n";
  if (error.details().help.empty()) text += "help: " + help_of(error) + "\n";
  if (!with_color) return text;
  const size_t end = text.find(']') + 1;
  return "\x1b[1;31m" + text.substr(0, end) + "\x1b[0m" + text.substr(end);
}

bool wants_color(const std::string& choice, int descriptor) {
  if (choice == "always") return true;
  const auto is_set = [](const char* name) {
    const char* value = std::getenv(name);
    return value != nullptr && *value != 0;
  };
  if (choice == "never" || is_set("NO_COLOR")) return false;
  if (is_set("FORCE_COLOR")) return true;
  const char* terminal = std::getenv("TERM");
  return isatty(descriptor) && !(terminal != nullptr && std::string(terminal) == "dumb");
}

void print_error(const Error& error, bool as_json, const std::string& color_choice) {
  const std::string text = error_text(error, wants_color(color_choice, 2));
  std::fputs(text.c_str(), stderr);
  std::fflush(stderr);
  if (!as_json) return;
  const std::string document = error_json(error).dump(2, ' ', false, Document::error_handler_t::replace) + "\n";
  std::fputs(document.c_str(), stdout);
  std::fflush(stdout);
}

}  // namespace niwaki
