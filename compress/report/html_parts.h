#pragma once

#include "compress/json.h"

#include <optional>
#include <string>
#include <vector>

namespace niwaki {

constexpr size_t kTabled = 2000;             // rows of a table; report.json has all

struct Column {
  std::string title;
  bool is_number = false;
};
using Cells = std::vector<std::string>;  // escaped

/// <tag attributes>content</tag>; the content is markup already.
std::string element(const std::string& tag, const std::string& content, const std::string& attributes = "");
std::string table(const std::vector<Column>& columns, const std::vector<Cells>& rows);
/// Shown at a click.
std::string folded(const std::string& title, const std::string& content);
/// Nothing where there is no content.
std::string section(const std::string& title, const std::string& content);
/// The class that colours a verdict.
std::string tone(const std::string& verdict);
std::string tag(const std::string& word);
std::string optional_text(const std::optional<double>& value, int digits, const std::string& unit = "");
std::string cell(const Json& json, const std::string& key);
std::string size_cell(const Json& json, const std::string& key);
/// "64 × 3 × 7".
std::string sizes_text(const Json& sizes);
/// Says how many rows were left out.
std::string more_than(size_t all, size_t shown);

}  // namespace niwaki
