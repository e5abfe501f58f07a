#include "formats/csv.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>

#include <nlohmann/json.hpp>

#include "compress/error.h"
#include "formats/csv_records.h"

namespace niwaki {
namespace {

constexpr uint64_t kIndexEvery = 16;                    // rows
constexpr double kLargestInteger = 9007199254740992.0;  // beyond it, a double skips integers
constexpr size_t kNoLabel = ~size_t{0};

/// A file whose rows were all seen once.
struct CsvFile {
  CsvFile(const std::string& path, const Limits& given) : file(path), limits(given) {}
  FileReader file;
  Limits limits;
  char delimiter = ',';
  size_t columns = 0, label = kNoLabel;
  uint64_t rows = 0;
  bool labels_are_integers = true;
  struct Mark {
    uint64_t offset, line;
  };
  std::vector<Mark> marks;  // of every kIndexEvery-th row

  double number(const CsvRecords& records, size_t column) const {
    const auto value = number_of(records.field(column));
    if (value) return *value;
    throw ModelError("E1707", cat("'", printable(records.field(column), 40), "' is not a number"),
                     {.where = records.place(column),
                      .help = "every column but the label's fills the input; `--csv "
                              "label=first|last|none|NAME,header=true|false,delimiter=;` says how "
                              "rows are laid out"});
  }
  void require_columns(const CsvRecords& records) const {
    if (records.size() == columns) return;
    throw ModelError("E1707", "a row has more or fewer columns than those before",
                     {.where = records.place(records.size() + 1),
                      .found = cat("found ", records.size(), ", needed ", columns),
                      .help = "repair the line, or give the right `--csv delimiter=...`"});
  }
};

/// Calls `take` for `count` rows from row `first` on.
template <typename Take>
void read_rows(const CsvFile& csv, int64_t first, int64_t count, const Take& take) {
  if (count == 0) return;
  const uint64_t row = static_cast<uint64_t>(first);
  const CsvFile::Mark mark = csv.marks.at(row / kIndexEvery);
  CsvRecords records(csv.file, csv.delimiter, csv.limits, mark.offset, mark.line);
  for (uint64_t i = row - row % kIndexEvery; i < row + static_cast<uint64_t>(count); ++i) {
    if (!records.next()) {
      throw ModelError("E1901", cat("'", printable(csv.file.path()), "' changed while it was read"),
                       {.help = "run again when nobody writes to the file"});
    }
    csv.require_columns(records);
    if (i >= row) take(records);
  }
}

class CsvColumns : public ReshapableArray {
 public:
  explicit CsvColumns(std::shared_ptr<const CsvFile> csv) : csv_(std::move(csv)) {}
  DType dtype() const override { return DType::float64; }
  std::vector<int64_t> sizes() const override {
    const size_t columns = csv_->columns - (csv_->label == kNoLabel ? 0 : 1);
    return {static_cast<int64_t>(csv_->rows), static_cast<int64_t>(columns)};
  }
  bool fills_any_shape() const override { return true; }
  RunValue rows(int64_t first, int64_t count) const override {
    Tensor tensor = at::empty({count, sizes()[1]}, at::kDouble);
    auto* out = tensor.mutable_data_ptr<double>();
    read_rows(*csv_, first, count, [&](const CsvRecords& records) {
      for (size_t c = 0; c < csv_->columns; ++c) {
        if (c != csv_->label) *out++ = csv_->number(records, c);
      }
    });
    return RunValue(tensor);
  }

 private:
  std::shared_ptr<const CsvFile> csv_;
};

class CsvLabels : public SampleArray {
 public:
  explicit CsvLabels(std::shared_ptr<const CsvFile> csv) : csv_(std::move(csv)) {}
  DType dtype() const override {
    return csv_->labels_are_integers ? DType::int64 : DType::float64;
  }
  std::vector<int64_t> sizes() const override { return {static_cast<int64_t>(csv_->rows)}; }
  RunValue rows(int64_t first, int64_t count) const override {
    Tensor tensor = at::empty({count}, at::kDouble);
    auto* out = tensor.mutable_data_ptr<double>();
    read_rows(*csv_, first, count, [&](const CsvRecords& records) {
      *out++ = csv_->number(records, csv_->label);
    });
    return RunValue(csv_->labels_are_integers ? tensor.to(at::kLong) : tensor);
  }

 private:
  std::shared_ptr<const CsvFile> csv_;
};

bool is_header(const CsvRecords& first, const CsvOptions& options) {
  if (options.header != CsvOptions::Header::automatic) {
    return options.header == CsvOptions::Header::yes;
  }
  for (size_t i = 0; i < first.size(); ++i) {
    if (!number_of(first.field(i))) return true;
  }
  return false;
}

/// The label's column by what the options say; `first` is the first record.
size_t find_label(const CsvRecords& first, bool has_header, const CsvOptions& options) {
  if (options.label == "none") return kNoLabel;
  if (first.size() == 1 && (options.label == "first" || options.label == "last")) {
    throw ModelError("E1707", "the rows have one column, which is taken for the label",
                     {.where = first.place(0), .help = "give `--csv label=none`, or a delimiter"});
  }
  if (options.label == "first") return 0;
  if (options.label == "last") return first.size() - 1;
  std::vector<std::string> names;
  for (size_t i = 0; i < first.size(); ++i) names.emplace_back(first.field(i));
  const auto found = std::find(names.begin(), names.end(), options.label);
  if (has_header && found != names.end()) return static_cast<size_t>(found - names.begin());
  const std::string near = has_header ? nearest(options.label, names) : "";
  throw ModelError("E1706", cat("there is no column '", printable(options.label), "' for labels"),
                   {.where = first.place(first.size() + 1),
                    .found = has_header ? "" : "the first row is no header",
                    .help = near.empty() ? "give `--csv label=first|last|none|NAME`"
                                         : cat("did you mean '", printable(near), "'?")});
}

/// Looks at every row once: columns, numbers, and where rows begin.
void scan(CsvFile& csv, const CsvOptions& options) {
  CsvRecords records(csv.file, csv.delimiter, csv.limits);
  bool is_first = true;
  while (records.next()) {
    if (is_first) {
      is_first = false;
      const bool has_header = is_header(records, options);
      csv.columns = records.size();
      csv.label = find_label(records, has_header, options);
      if (has_header) continue;
    }
    csv.require_columns(records);
    for (size_t c = 0; c < csv.columns; ++c) {
      const double number = csv.number(records, c);
      if (c != csv.label) continue;
      csv.labels_are_integers = csv.labels_are_integers && std::trunc(number) == number &&
                                std::abs(number) <= kLargestInteger;
    }
    if (csv.rows % kIndexEvery == 0) csv.marks.push_back({records.offset(), records.line()});
    ++csv.rows;
  }
  if (csv.rows > 0) return;
  throw ModelError("E1712", "the file holds no row of numbers",
                   {.where = printable(csv.file.path())});
}

[[noreturn]] void refuse_value(const std::string& name, const Json& value, const char* needed,
                               const std::string& place) {
  throw UsageError("E2005", cat("'", name, "' is ", printable(value.dump()), "; needed ", needed),
                   {.where = place, .help = "csv: {label: first, header: auto, delimiter: \",\"}"});
}

char delimiter_of(const Json& value, const std::string& place) {
  const std::string text = value.is_string() ? value.get<std::string>() : "";
  if (text == "auto") return 0;
  if (text == "tab" || text == "\\t") return '\t';
  const bool is_fit = text.size() == 1 && text.find_first_of("\"\r\n0123456789.+-eE") == text.npos;
  if (!is_fit) refuse_value("delimiter", value, "one character, or tab", place);
  return text[0];
}

}  // namespace

CsvOptions parse_csv_options(const Json& block, const std::string& place) {
  if (!block.is_object()) refuse_value("csv", block, "a block of keys", place);
  CsvOptions options;
  for (const auto& [name, value] : block.items()) {
    if (name == "label") {
      if (!value.is_string()) refuse_value(name, value, "first, last, none or a name", place);
      options.label = value.get<std::string>();
    } else if (name == "header") {
      if (value == "auto") continue;
      if (!value.is_boolean()) refuse_value(name, value, "auto, true or false", place);
      options.header = value.get<bool>() ? CsvOptions::Header::yes : CsvOptions::Header::no;
    } else if (name == "delimiter") {
      options.delimiter = delimiter_of(value, place);
    } else {
      const std::string near = nearest(name, std::array{"label", "header", "delimiter"});
      throw UsageError("E2004", cat("unknown key '", printable(name), "' in csv"),
                       {.where = place,
                        .help = near.empty() ? "there are label, header and delimiter"
                                             : cat("did you mean '", near, "'?")});
    }
  }
  return options;
}

Json csv_block_of(const std::string& flag) {
  Json block = Json::object();
  for (size_t at = 0; at < flag.size();) {
    const size_t comma = std::min(flag.find(',', at), flag.size());
    const std::string part = flag.substr(at, comma - at);
    at = comma + 1;
    const size_t equals = part.find('=');
    const std::string name = part.substr(0, equals);
    std::string value = equals == part.npos ? "" : part.substr(equals + 1);
    if (name == "delimiter" && value.empty() && comma < flag.size()) {
      value = ",";  // the comma is the value; another one separates it from what follows
      at += at < flag.size() && flag[at] == ',';
    }
    if (name.empty() || value.empty() || block.contains(name)) {
      throw UsageError("E2001", cat("--csv got '", printable(part), "'"),
                       {.found = "needed KEY=VALUE, each key once",
                        .help = "for example --csv label=last,header=auto,delimiter=;"});
    }
    if (name == "header" && (value == "true" || value == "false")) block[name] = value == "true";
    else block[name] = value;
  }
  return block;
}

SampleArrays open_csv(const std::string& path, const CsvOptions& options, const Limits& limits) {
  auto csv = std::make_shared<CsvFile>(path, limits);
  csv->delimiter = options.delimiter != 0 ? options.delimiter : guess_delimiter(csv->file);
  scan(*csv, options);
  SampleArrays arrays;
  arrays["arr_0"] = std::make_shared<CsvColumns>(csv);
  if (csv->label != kNoLabel) arrays["labels"] = std::make_shared<CsvLabels>(csv);
  return arrays;
}

}  // namespace niwaki
