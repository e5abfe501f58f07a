#pragma once

#include "compress/json.h"

#include <string>
#include <string_view>

namespace niwaki {

/// Valid UTF-8 in which control, bidirectional, zero-width and invalid bytes are visible escapes;
/// keeps any length.
std::string visible(std::string_view text);
/// For text and attributes of HTML and SVG.
std::string html_text(std::string_view text);
/// For XML 1.0: as html_text, without the characters that it forbids.
std::string xml_text(std::string_view text);
/// For Markdown on GitHub: no markup, raw HTML, mention, issue or link comes out of `text`; one
/// line.
std::string markdown_text(std::string_view text);
/// One CSV cell, quoted where needed; a leading = + - @ or tab does not start a formula.
std::string csv_cell(std::string_view text);
/// A number's cell: never quoted.
std::string csv_number(double value);
/// A YAML scalar in double quotes.
std::string yaml_text(std::string_view text);
/// For the message of a GitHub workflow command.
std::string annotation_text(std::string_view text);
/// One word of a POSIX shell line, in single quotes where needed.
std::string shell_word(std::string_view word);
/// Sets entry[key] to valid UTF-8, and entry[key + "_bytes"] to the base64 of `text` where they
/// differ.
void set_text(Json& entry, const std::string& key, std::string_view text);

}  // namespace niwaki
