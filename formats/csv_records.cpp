#include "formats/csv_records.h"

#include <algorithm>
#include <charconv>
#include <span>

#include "compress/error.h"

namespace niwaki {
namespace {

constexpr size_t kChunk = size_t{64} << 10;
constexpr int kEnd = -1;
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

}  // namespace

CsvRecords::CsvRecords(const FileReader& file, char delimiter, const Limits& limits,
                       uint64_t offset, uint64_t line)
    : file_(file), delimiter_(delimiter), limits_(limits), next_offset_(offset), line_(line) {
  if (offset != 0 || file.size() < kByteOrderMark.size()) return;
  std::string head(kByteOrderMark.size(), '\0');
  file.read_at(0, std::as_writable_bytes(std::span(head)));
  if (head == kByteOrderMark) next_offset_ = kByteOrderMark.size();
}

int CsvRecords::peek() {
  if (taken_ == chunk_.size()) {
    const uint64_t left = file_.size() - std::min(next_offset_, file_.size());
    if (left == 0) return kEnd;
    chunk_.assign(static_cast<size_t>(std::min<uint64_t>(kChunk, left)), '\0');
    file_.read_at(next_offset_, std::as_writable_bytes(std::span(chunk_)));
    taken_ = 0;
  }
  return static_cast<unsigned char>(chunk_[taken_]);
}

int CsvRecords::get() {
  const int c = peek();
  if (c == kEnd) return c;
  ++taken_;
  ++next_offset_;
  if (taken_ == chunk_.size()) {  // so that the next chunk is read at `next_offset_`
    chunk_.clear();
    taken_ = 0;
  }
  return c;
}

void CsvRecords::refuse(const std::string& cause) const {
  throw ModelError("E1707", cause,
                   {.where = place(ends_.size()),
                    .help = "write fields with quotes as \"...\", and quotes inside as \"\""});
}

std::string CsvRecords::place(size_t index) const {
  const std::string line = cat(printable(file_.path()), ", line ", first_line_);
  return index > ends_.size() ? line : cat(line, ", column ", index + 1);
}

std::string_view CsvRecords::field(size_t index) const {
  const size_t begin = index == 0 ? 0 : ends_[index - 1];
  return std::string_view(text_).substr(begin, ends_[index] - begin);
}

void CsvRecords::end_field() {
  ends_.push_back(text_.size());
  if (ends_.size() <= limits_.csv_columns) return;
  throw ModelError("E1004", "limit 'csv_columns' is exceeded",
                   {.where = place(ends_.size() + 1),
                    .found = cat("needed at most ", limits_.csv_columns, " columns"),
                    .help = "pass `--limit csv_columns=N` if you trust the file"});
}

/// Behind the opening quote, up to and with the closing one.
void CsvRecords::read_quoted() {
  for (int c = get();; c = get()) {
    if (c == kEnd) refuse("a quote is open at the end of the file");
    if (next_offset_ - begin_ > limits_.csv_line_bytes) return;  // the caller refuses
    if (c == '\n') ++line_;
    if (c == '"') {
      if (peek() != '"') return;
      get();
    }
    text_ += static_cast<char>(c);
  }
}

void CsvRecords::read_record() {
  bool is_begin = true, was_quoted = false;
  while (true) {
    const int c = get();
    if (next_offset_ - begin_ > limits_.csv_line_bytes) {
      throw ModelError("E1004", "limit 'csv_line_bytes' is exceeded",
                       {.where = place(ends_.size() + 1),
                        .found = cat("needed lines of at most ", limits_.csv_line_bytes, " bytes"),
                        .help = "pass `--limit csv_line_bytes=N` if you trust the file"});
    }
    if (c == kEnd || c == '\n' || c == '\r') {
      if (c == '\r' && peek() == '\n') get();
      ++line_;
      return end_field();
    }
    if (c == static_cast<unsigned char>(delimiter_)) {
      end_field();
      is_begin = true;
      was_quoted = false;
      continue;
    }
    if (was_quoted) refuse("a field goes on behind its closing quote");
    if (c == '"') {
      if (!is_begin) refuse("a quote stands inside a field without quotes");
      read_quoted();
      was_quoted = true;
    } else {
      text_ += static_cast<char>(c);
    }
    is_begin = false;
  }
}

bool CsvRecords::next() {
  do {
    if (peek() == kEnd) return false;
    text_.clear();
    ends_.clear();
    begin_ = next_offset_;
    first_line_ = line_;
    read_record();
  } while (ends_.size() == 1 && text_.empty());
  return true;
}

std::optional<double> number_of(std::string_view field) {
  const auto is_blank = [](char c) { return c == ' ' || c == '\t'; };
  while (!field.empty() && is_blank(field.front())) field.remove_prefix(1);
  while (!field.empty() && is_blank(field.back())) field.remove_suffix(1);
  if (field.size() > 1 && field[0] == '+' && field[1] != '-') field.remove_prefix(1);
  double number = 0;
  const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), number);
  if (error != std::errc() || end != field.data() + field.size() || field.empty()) return {};
  return number;
}

char guess_delimiter(const FileReader& file) {
  std::string head(static_cast<size_t>(std::min<uint64_t>(file.size(), kChunk)), '\0');
  file.read_at(0, std::as_writable_bytes(std::span(head)));
  bool is_quoted = false;
  for (const char c : head) {
    if (c == '"') is_quoted = !is_quoted;
    if (!is_quoted && (c == '\n' || c == '\r')) break;
    if (!is_quoted && c == '\t') return '\t';
  }
  return ',';
}

}  // namespace niwaki
