#include "compress/report/html_parts.h"

#include "compress/report/escape.h"
#include "compress/report/numbers.h"
#include "compress/report/summary.h"

#include <nlohmann/json.hpp>

namespace niwaki {

std::string element(const std::string& tag, const std::string& content, const std::string& attributes) {
  return "<" + tag + (attributes.empty() ? "" : " " + attributes) + ">" + content + "</" + tag + ">";
}

std::string table(const std::vector<Column>& columns, const std::vector<Cells>& rows) {
  std::string head, body;
  for (const Column& column : columns)
    head += element("th", html_text(column.title),
                    column.is_number ? "scope=\"col\" class=\"n\"" : "scope=\"col\"");
  for (const Cells& cells : rows) {
    std::string line;
    for (size_t i = 0; i < cells.size(); ++i)
      line += element("td", cells[i], columns[i].is_number ? "class=\"n\"" : "class=\"name\"");
    body += element("tr", line) + "\n";
  }
  const std::string parts = element("thead", element("tr", head)) + element("tbody", body);
  return element("div", element("table", parts), "class=\"scroll\"");
}

std::string folded(const std::string& title, const std::string& content) {
  return element("details", element("summary", html_text(title)) + content);
}

std::string section(const std::string& title, const std::string& content) {
  return content.empty() ? "" : element("section", element("h2", html_text(title)) + content) + "\n";
}

std::string tone(const std::string& verdict) {
  if (verdict == "pass" || verdict == "PASSED" || verdict == "ok") return "pass";
  if (verdict == "fail" || verdict == "MISSED" || verdict == "FAILED") return "fail";
  const bool is_open = verdict == "inconclusive" || verdict == "INCONCLUSIVE" || verdict == "unclear" || verdict == "STOPPED";
  return is_open ? "wait" : "calm";
}

std::string tag(const std::string& word) {
  return word.empty() ? "" : element("span", html_text(word), "class=\"tag " + tone(word) + "\"");
}

std::string optional_text(const std::optional<double>& value, int digits, const std::string& unit) {
  return value ? fixed(*value, digits) + unit : "";
}

std::string cell(const Json& json, const std::string& key) { return html_text(text(json, key)); }

std::string size_cell(const Json& json, const std::string& key) {
  const auto bytes = number(json, key);
  return bytes ? size_text(*bytes) : "";
}

std::string sizes_text(const Json& sizes) {
  std::string words;
  for (const Json& size : sizes) words += (words.empty() ? "" : " × ") + (size.is_number() ? grouped(size.get<double>()) : "?");
  return words;
}

std::string more_than(size_t all, size_t shown) {
  return all > shown
             ? element("p", grouped(static_cast<double>(all - shown)) + " more are in report.json.",
                       "class=\"muted-text\"")
             : "";
}

}  // namespace niwaki
