#include "compress/error.h"

#include <algorithm>
#include <cstdint>

namespace niwaki {
namespace {

/// Decodes one UTF-8 character; returns its length, 0 where the bytes are not valid.
size_t decode(std::string_view text, uint32_t& character) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) {
    character = lead;
    return 1;
  }
  const size_t length = lead >= 0xf0 && lead < 0xf5 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc2 ? 2 : 0;
  if (length == 0 || lead >= 0xf5 || text.size() < length) return 0;
  character = lead & (0x7f >> length);
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
    character = character << 6 | (byte(i) & 0x3f);
  }
  const bool overlong = (length == 3 && character < 0x800) || (length == 4 && character < 0x10000);
  const bool surrogate = character >= 0xd800 && character < 0xe000;
  return overlong || surrogate || character > 0x10ffff ? 0 : length;
}

bool is_unsafe(uint32_t c) {
  return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
         (c >= 0x2060 && c <= 0x206f) || c == 0xfeff;
}

std::string hex(uint32_t value, int digits) {
  std::string text;
  for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4) text += "0123456789abcdef"[value >> shift & 15];
  return text;
}

}  // namespace

Error::Error(ErrorKind kind, std::string code, std::string message, ErrorDetails details)
    : kind_(kind), code_(std::move(code)), message_(std::move(message)), details_(std::move(details)) {
  compose();
}

Error& Error::within(const std::string& place) {
  details_.where = details_.where.empty() ? place : place + ", " + details_.where;
  compose();
  return *this;
}

int Error::exit_code() const {
  switch (kind_) {
    case ErrorKind::usage: return 2;
    case ErrorKind::model:
    case ErrorKind::unsupported: return 3;
    case ErrorKind::environment: return 4;
    case ErrorKind::internal: return 5;
  }
  return 5;
}

std::string Error::text() const {
  std::string text = "error[" + code_ + "]: " + message_;
  if (!details_.where.empty()) text += "\n  --> " + details_.where;
  if (!details_.found.empty()) text += "\n   |  " + details_.found;
  if (!details_.help.empty()) text += "\nhelp: " + details_.help;
  return text;
}

void Error::compose() { what_ = (details_.where.empty() ? "" : details_.where + ": ") + message_; }

std::string printable(std::string_view text, size_t columns) {
  std::string safe;
  size_t width = 0;
  while (!text.empty()) {
    uint32_t character = 0;
    const size_t length = decode(text, character);
    std::string piece;
    if (length == 0) {
      piece = "\\x" + hex(static_cast<unsigned char>(text[0]), 2);
    } else if (is_unsafe(character)) {
      piece = "\\u{" + hex(character, character > 0xffff ? 6 : character > 0xff ? 4 : 2) + "}";
    } else {
      piece = std::string(text.substr(0, length));
    }
    width += length == 0 || is_unsafe(character) ? piece.size() : 1;
    if (width > columns) return safe + "…";
    safe += piece;
    text.remove_prefix(std::max<size_t>(length, 1));
  }
  return safe;
}

std::string nearest_word(const std::string& word, const std::string* begin, const std::string* end) {
  std::string best;
  size_t least = std::max<size_t>(2, word.size() / 2) + 1;
  for (const std::string* candidate = begin; candidate != end; ++candidate) {
    std::vector<size_t> row(candidate->size() + 1);
    for (size_t j = 0; j < row.size(); ++j) row[j] = j;
    for (size_t i = 1; i <= word.size(); ++i) {
      size_t diagonal = row[0];
      row[0] = i;
      for (size_t j = 1; j < row.size(); ++j) {
        const size_t change = diagonal + (word[i - 1] != (*candidate)[j - 1]);
        diagonal = row[j];
        row[j] = std::min({row[j] + 1, row[j - 1] + 1, change});
      }
    }
    if (row.back() < least) {
      least = row.back();
      best = *candidate;
    }
  }
  return best;
}

}  // namespace niwaki
