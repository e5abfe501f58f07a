#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace niwaki {

/// `value` with `digits` decimals; never "-0.00".
std::string fixed(double value, int digits);
/// As fixed, with a sign: "+0.18", "-0.39", "0.00".
std::string with_sign(double value, int digits);
/// As few digits as tell the value to 6 places: "1", "0.05".
std::string plain(double value);
/// Thousands apart: "272,474".
std::string grouped(double value);
/// "1.09 MB", "272 kB", "31 B"; the unit is that of `scale` where it is given, so that a row reads
/// alike.
std::string size_text(double bytes, double scale = 0);
/// "13.4 s", "4 min 10 s", "2 h 05 min".
std::string duration_text(double seconds);

/// Columns that UTF-8 text takes on a terminal, one per character.
size_t width(std::string_view text);
/// Spaces behind, or in front of, the text, up to `size` columns.
std::string padded(const std::string& text, size_t size);
std::string right_aligned(const std::string& text, size_t size);

}  // namespace niwaki
