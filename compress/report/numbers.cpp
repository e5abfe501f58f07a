#include "compress/report/numbers.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

namespace niwaki {
namespace {

std::string format(const char* pattern, int digits, double value) {
  std::array<char, 400> text{};
  std::snprintf(text.data(), text.size(), pattern, digits, value);
  return text.data();
}

}  // namespace

std::string fixed(double value, int digits) {
  std::string text = format("%.*f", digits, value);
  if (text[0] == '-' && text.find_first_not_of("-0.") == std::string::npos) text.erase(0, 1);
  return text;
}

std::string with_sign(double value, int digits) {
  const std::string text = fixed(value, digits);
  const bool is_zero = text.find_first_not_of("0.") == std::string::npos;
  return value > 0 && !is_zero ? "+" + text : text;
}

std::string plain(double value) { return format("%.*g", 6, value); }

std::string grouped(double value) {
  std::string text = fixed(std::round(value), 0);
  if (!std::isfinite(value)) return text;
  const int first = text[0] == '-' ? 1 : 0;
  for (int i = static_cast<int>(text.size()) - 3; i > first; i -= 3)
    text.insert(static_cast<size_t>(i), ",");
  return text;
}

std::string size_text(double bytes, double scale) {
  const double size = scale > 0 ? scale : std::abs(bytes);
  if (size < 1000) return fixed(bytes, 0) + " B";
  if (size < 1e6) return fixed(bytes / 1e3, size < 1e4 && scale > 0 ? 1 : 0) + " kB";
  const double unit = size < 1e9 ? 1e6 : 1e9;
  const double number = bytes / unit, largest = size / unit;
  return fixed(number, largest < 10 ? 2 : largest < 100 ? 1 : 0) + (unit == 1e6 ? " MB" : " GB");
}

std::string duration_text(double seconds) {
  if (seconds < 99.95) return fixed(seconds, 1) + " s";
  const long whole = std::lround(seconds);
  if (whole < 3600) return std::to_string(whole / 60) + " min " + std::to_string(whole % 60) + " s";
  const long minutes = whole / 60 % 60;
  return std::to_string(whole / 3600) + " h " + (minutes < 10 ? "0" : "") +
         std::to_string(minutes) + " min";
}

size_t width(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

std::string padded(const std::string& text, size_t size) { return text + std::string(size > width(text) ? size - width(text) : 0, ' '); }

std::string right_aligned(const std::string& text, size_t size) { return std::string(size > width(text) ? size - width(text) : 0, ' ') + text; }

}  // namespace niwaki
