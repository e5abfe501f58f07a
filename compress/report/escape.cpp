#include "compress/report/escape.h"

#include "compress/error.h"
#include "compress/report/numbers.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <limits>

namespace niwaki {
namespace {

std::string base64(std::string_view bytes) {
  static constexpr char kDigits[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t group = 0;
    for (size_t j = 0; j < 3; ++j) {
      group = group << 8 | (i + j < bytes.size() ? static_cast<unsigned char>(bytes[i + j]) : 0);
    }
    for (size_t j = 0; j < 4; ++j)
      text += i + j > bytes.size() ? '=' : kDigits[group >> (18 - 6 * j) & 63];
  }
  return text;
}

bool is_word(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         (c & 0x80) != 0;
}

}  // namespace

std::string visible(std::string_view text) {
  return printable(text, std::numeric_limits<size_t>::max());
}

std::string html_text(std::string_view text) {
  std::string safe;
  for (const char c : visible(text)) {
    switch (c) {
      case '&':
        safe += "&amp;";
        break;
      case '<':
        safe += "&lt;";
        break;
      case '>':
        safe += "&gt;";
        break;
      case '"':
        safe += "&quot;";
        break;
      case '\'':
        safe += "&#39;";
        break;
      default:
        safe += c;
    }
  }
  return safe;
}

std::string xml_text(std::string_view text) {
  // U+FFFE and U+FFFF are valid UTF-8 that XML 1.0 forbids; visible() replaced the control
  // characters
  std::string safe = html_text(text);
  for (const char* forbidden : {"\xef\xbf\xbe", "\xef\xbf\xbf"}) {
    for (size_t at = safe.find(forbidden); at != std::string::npos; at = safe.find(forbidden))
      safe.replace(at, 3, "?");
  }
  return safe;
}

std::string markdown_text(std::string_view text) {
  std::string safe;
  const std::string seen = visible(text);
  for (size_t i = 0; i < seen.size(); ++i) {
    const char c = seen[i];
    const bool is_start = i == 0 || !is_word(seen[i - 1]);
    const bool ends_scheme = c == ':' && i + 1 < seen.size() && seen[i + 1] == '/';
    const bool starts_host =
        (c == 'w' || c == 'W') && is_start && seen.size() > i + 3 && seen[i + 3] == '.';
    switch (c) {
      case '&':
        safe += "&amp;";
        break;
      case '<':
        safe += "&lt;";
        break;
      case '>':
        safe += "&gt;";
        break;
      case '@':
        safe += "&#64;";
        break;  // a backslash would leave the mention
      case '#':
        safe += "&#35;";
        break;
      case '|':
        safe += "&#124;";
        break;  // a backslash is not read inside of code in a table
      default:
        if (std::string_view("\\`*_{}[]()!~$+-=").find(c) != std::string_view::npos) safe += '\\';
        if (ends_scheme)
          safe += "&#58;";
        else if (starts_host)
          safe += c == 'w' ? "&#119;" : "&#87;";
        else
          safe += c;
    }
  }
  return safe;
}

std::string csv_cell(std::string_view text) {
  const bool is_formula =
      !text.empty() && std::string_view("=+-@\t\r").find(text[0]) != std::string_view::npos;
  std::string safe = (is_formula ? "'" : "") + visible(text);
  if (safe.find_first_of(",\"\n;") == std::string::npos) return safe;
  for (size_t at = safe.find('"'); at != std::string::npos; at = safe.find('"', at + 2))
    safe.insert(at, 1, '"');
  return '"' + safe + '"';
}

std::string csv_number(double value) { return plain(value); }

std::string yaml_text(std::string_view text) {
  std::string safe = "\"";
  for (const char c : visible(text)) {
    if (c == '"' || c == '\\') safe += '\\';
    safe += c;
  }
  return safe + '"';
}

std::string annotation_text(std::string_view text) {
  std::string safe;
  for (const char c : visible(text)) {
    switch (c) {
      case '%':
        safe += "%25";
        break;
      case ':':
        safe += "%3A";
        break;
      case ',':
        safe += "%2C";
        break;
      default:
        safe += c;
    }
  }
  return safe;
}

std::string shell_word(std::string_view word) {
  const bool is_plain = !word.empty() && std::all_of(word.begin(), word.end(), [](char c) {
    return (is_word(c) && (c & 0x80) == 0) ||
           std::string_view("_-./=+,@%:").find(c) != std::string_view::npos;
  });
  if (is_plain) return std::string(word);
  std::string quoted = "'";
  for (const char c : word) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

void set_text(Json& entry, const std::string& key, std::string_view text) {
  const std::string valid = visible(text);
  entry[key] = valid;
  if (valid != text) entry[key + "_bytes"] = base64(text);
}

}  // namespace niwaki
