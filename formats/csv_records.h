#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "compress/mapped_file.h"
#include "formats/limits.h"

namespace niwaki {

/// The records of a CSV file, one at a time: fields may be quoted, lines end with LF, CR LF or CR.
class CsvRecords {
 public:
  CsvRecords(const FileReader& file, char delimiter, const Limits& limits, uint64_t offset = 0,
             uint64_t line = 1);

  /// Goes to the next record that is no empty line; false at the end. E1707 where quotes are wrong,
  /// E1004 where a line or the number of columns is beyond its limit.
  bool next();
  size_t size() const { return ends_.size(); }
  std::string_view field(size_t index) const;
  uint64_t offset() const { return begin_; }  // of the record's first byte
  uint64_t line() const { return first_line_; }
  /// "rows.csv, line 12, column 3", or without the column where `index` is beyond the record.
  std::string place(size_t index) const;

 private:
  int get();
  int peek();
  void read_record();
  void read_quoted();
  void end_field();
  [[noreturn]] void refuse(const std::string& cause) const;

  const FileReader& file_;
  char delimiter_;
  const Limits& limits_;
  std::string chunk_, text_;
  std::vector<size_t> ends_;  // of the fields in `text_`
  size_t taken_ = 0;          // of `chunk_`
  uint64_t next_offset_, begin_ = 0, line_, first_line_ = 0;
};

/// A field as a number, blanks around it left out; nothing where it is none.
std::optional<double> number_of(std::string_view field);

/// The delimiter of the first line: a tab where there is one outside quotes, else a comma.
char guess_delimiter(const FileReader& file);

}  // namespace niwaki
