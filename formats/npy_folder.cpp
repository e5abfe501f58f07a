#include "formats/npy_folder.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>

#include "compress/error.h"
#include "formats/csv_records.h"
#include "formats/npy.h"
#include "formats/samples.h"

namespace niwaki {
namespace {

namespace fs = std::filesystem;

constexpr double kLargestLabel = 9007199254740992.0;  // beyond it, a double skips integers

/// One file per sample; they have one shape and one type.
class NpyFolder : public ReshapableArray {
 public:
  NpyFolder(std::string folder, std::vector<std::string> names, const Limits& limits)
      : folder_(std::move(folder)), names_(std::move(names)), limits_(limits) {
    for (size_t i = 0; i < names_.size(); ++i) {
      const NpyArray array = open(i);
      if (i == 0) {
        dtype_ = array.dtype();
        sample_ = array.sizes();
      }
      require_alike(i, array);
    }
    if (dtype_ != DType::string) return;
    throw ModelError("E1702", "a folder of samples holds arrays of text, which are not read",
                     {.where = printable(folder_), .help = "put them into one .npz file"});
  }
  DType dtype() const override { return dtype_; }
  std::vector<int64_t> sizes() const override {
    std::vector<int64_t> sizes{static_cast<int64_t>(names_.size())};
    sizes.insert(sizes.end(), sample_.begin(), sample_.end());
    return sizes;
  }
  bool fills_any_shape() const override { return false; }
  RunValue rows(int64_t first, int64_t count) const override {
    std::vector<Tensor> samples;
    for (int64_t i = first; i < first + count; ++i) {
      const NpyArray array = open(static_cast<size_t>(i));
      require_alike(static_cast<size_t>(i), array);
      samples.push_back(array.all());
    }
    if (!samples.empty()) return RunValue(at::stack(samples));
    std::vector<int64_t> none = sizes();
    none[0] = 0;
    return RunValue(at::empty(none, scalar_type(dtype_)));
  }

 private:
  NpyArray open(size_t index) const { return open_npy(folder_ + "/" + names_[index], limits_); }
  void require_alike(size_t index, const NpyArray& array) const {
    if (array.dtype() == dtype_ && array.sizes() == sample_) return;
    throw ModelError("E1705", "samples of a folder differ in shape or type",
                     {.where = printable(folder_),
                      .found = cat("'", printable(names_[0], 80), "' is ", name_of(dtype_), " ",
                                   shape_text(sample_), ", '", printable(names_[index], 80),
                                   "' is ", name_of(array.dtype()), " ", shape_text(array.sizes())),
                      .help = "write all samples with one shape and one type"});
  }
  std::string folder_;
  std::vector<std::string> names_;
  Limits limits_;
  DType dtype_ = DType::undefined;
  std::vector<int64_t> sample_;
};

/// What a folder holds, sorted by name; names that begin with a dot are nobody's samples.
struct Listing {
  std::vector<std::string> samples, folders, labels;
};

Listing list(const std::string& path) {
  Listing listing;
  std::error_code problem;
  fs::directory_iterator at(path, problem), end;
  for (; !problem && at != end; at.increment(problem)) {
    const std::string name = at->path().filename().string();
    if (name.starts_with(".")) continue;
    std::error_code ignored;
    if (at->is_directory(ignored)) {
      listing.folders.push_back(name);
    } else if (name == "labels.npy" || name == "labels.csv") {
      listing.labels.push_back(name);
    } else if (name.ends_with(".npy")) {
      listing.samples.push_back(name);
    } else {
      throw ModelError(
          "E1714", cat("the folder holds '", printable(name, 80), "', which is no .npy file"),
          {.where = printable(path),
           .help = "a folder of samples holds .npy files, one per sample, or one sub-folder of them "
                   "per input, and labels.npy or labels.csv; image folders are not in this version"});
    }
  }
  if (problem) {
    throw EnvironmentError("E4004", cat("cannot read the folder '", printable(path), "'"),
                           {.found = problem.message(), .help = "check its permissions"});
  }
  for (auto* names : {&listing.samples, &listing.folders, &listing.labels})
    std::sort(names->begin(), names->end());
  return listing;
}

[[noreturn]] void refuse_labels(const std::string& where, const std::string& cause,
                                const std::string& found = "") {
  throw ModelError("E1706", cause,
                   {.where = where,
                    .found = found,
                    .help = "write one label per line in the order of the files' names, or the "
                            "columns file,label"});
}

/// The sample that a row of `labels.csv` is for, by name or else in order.
size_t sample_of(const CsvRecords& records, const std::vector<std::string>& names, size_t row) {
  if (records.size() == 1) return row;
  const std::string_view name = records.field(0);
  const auto found = std::lower_bound(names.begin(), names.end(), name);
  if (found != names.end() && *found == name) return static_cast<size_t>(found - names.begin());
  refuse_labels(records.place(0), cat("there is no sample '", printable(name, 80), "'"));
}

std::vector<double> read_labels(const std::string& path, const std::vector<std::string>& names,
                                const Limits& limits) {
  const FileReader file(path);
  CsvRecords records(file, guess_delimiter(file), limits);
  std::vector<double> labels(names.size());
  std::vector<bool> seen(names.size());
  size_t row = 0, columns = 0;
  for (bool is_first = true; records.next(); is_first = false) {
    if (is_first) columns = records.size();
    if (records.size() != columns || columns > 2)
      refuse_labels(records.place(0), cat("a row has ", records.size(), " columns"));
    const auto label = number_of(records.field(columns - 1));
    if (is_first && !label) continue;  // a header
    if (!label || !std::isfinite(*label)) {
      throw ModelError("E1707", "a label is not a number",
                       {.where = records.place(columns - 1), .help = "write classes as numbers"});
    }
    const size_t sample = sample_of(records, names, row++);
    if (sample >= names.size())
      refuse_labels(records.place(0), "there are more labels than samples", cat(names.size()));
    if (seen[sample]) refuse_labels(records.place(0), "a sample has two labels");
    seen[sample] = true;
    labels[sample] = *label;
  }
  if (row != names.size()) {
    refuse_labels(printable(path), "there are fewer labels than samples",
                  cat("found ", row, ", needed ", names.size()));
  }
  return labels;
}

/// Classes as integers; other targets as they are.
Tensor tensor_of(const std::vector<double>& labels) {
  const bool are_integers = std::all_of(labels.begin(), labels.end(), [](double label) {
    return std::trunc(label) == label && std::abs(label) <= kLargestLabel;
  });
  const Tensor tensor = at::tensor(labels, at::kDouble);
  return are_integers ? tensor.to(at::kLong) : tensor;
}

void add_labels(SampleArrays& arrays, const std::string& path, const Listing& top,
                const std::vector<std::string>& names, const Limits& limits) {
  if (top.labels.empty()) return;
  if (top.labels.size() > 1)
    refuse_labels(printable(path), "the folder holds labels.npy and labels.csv: which is meant?");
  const std::string file = path + "/" + top.labels[0];
  if (top.labels[0] == "labels.csv") {
    const Tensor labels = tensor_of(read_labels(file, names, limits));
    arrays["labels"] = samples_of({{"labels", labels}}).at("labels");
    return;
  }
  const NpyArray array = open_npy(file, limits);
  if (array.sizes().empty() || array.sizes()[0] != static_cast<int64_t>(names.size())) {
    refuse_labels(printable(file), "labels.npy has another count than there are samples",
                  cat("found ", shape_text(array.sizes()), ", needed ", names.size()));
  }
  if (array.dtype() == DType::string) refuse_labels(printable(file), "labels.npy holds text");
  arrays["labels"] = open_samples(file, limits).at("arr_0");
}

/// The first name that only one of two sorted lists has.
std::string odd_one(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  std::vector<std::string> odd;
  std::set_symmetric_difference(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(odd));
  return odd.empty() ? "" : odd[0];
}

}  // namespace

SampleArrays open_npy_folder(const std::string& path, const Limits& limits) {
  Listing top = list(path);
  if (top.samples.empty() && top.folders.empty())
    throw ModelError("E1712", "the folder holds no .npy file", {.where = printable(path)});
  SampleArrays arrays;
  if (top.folders.empty()) {
    arrays["arr_0"] = std::make_shared<NpyFolder>(path, top.samples, limits);
    add_labels(arrays, path, top, top.samples, limits);
    return arrays;
  }
  if (!top.samples.empty()) {
    throw ModelError("E1714", "the folder holds .npy files and folders: which are the samples?",
                     {.where = printable(path), .help = "give each input a sub-folder of its own"});
  }
  std::vector<std::string> names;
  for (const std::string& input : top.folders) {
    const Listing inner = list(path + "/" + input);
    if (inner.samples.empty() || !inner.folders.empty() || !inner.labels.empty()) {
      throw ModelError("E1714", cat("sub-folder '", printable(input, 80), "' must hold samples alone"),
                       {.where = printable(path), .help = "labels stand beside the sub-folders"});
    }
    if (input == top.folders[0]) names = inner.samples;
    if (inner.samples != names) {
      throw ModelError("E1705", "sub-folders hold files of different names",
                       {.where = printable(path),
                        .found = cat("'", printable(odd_one(names, inner.samples), 80),
                                     "' is in '", printable(top.folders[0], 80), "' or in '",
                                     printable(input, 80), "', not in both"),
                        .help = "a sample has the same file name in every sub-folder"});
    }
    arrays[input] = std::make_shared<NpyFolder>(path + "/" + input, inner.samples, limits);
  }
  add_labels(arrays, path, top, names, limits);
  return arrays;
}

}  // namespace niwaki
