#include "formats/samples.h"

#include "compress/error.h"
#include "compress/mapped_file.h"
#include "formats/idx.h"
#include "formats/npy.h"
#include "formats/npy_folder.h"

#include <algorithm>
#include <filesystem>

namespace niwaki {
namespace {

class FileArray : public SampleArray {
 public:
  explicit FileArray(NpyArray array) : array_(std::move(array)) {}
  DType dtype() const override { return array_.dtype(); }
  std::vector<int64_t> sizes() const override { return array_.sizes(); }
  RunValue rows(int64_t first, int64_t count) const override {
    if (array_.sizes().empty()) return RunValue(array_.all());
    if (array_.dtype() != DType::string) return RunValue(array_.rows(first, count));
    RunValue value;
    value.dtype = DType::string;
    value.strings = std::make_shared<const Strings>(array_.string_rows(first, count));
    value.sizes = array_.sizes();
    value.sizes[0] = count;
    return value;
  }

 private:
  NpyArray array_;
};

class MemoryArray : public SampleArray {
 public:
  explicit MemoryArray(Tensor array) : array_(std::move(array)) {}
  DType dtype() const override { return dtype_of(array_.scalar_type()); }
  std::vector<int64_t> sizes() const override { return array_.sizes().vec(); }
  RunValue rows(int64_t first, int64_t count) const override {
    return RunValue(array_.dim() == 0 ? array_ : array_.narrow(0, first, count).contiguous());
  }

 private:
  Tensor array_;
};

constexpr uint64_t kHeadBytes = 4096;

std::string first_bytes(const std::string& path) {
  const FileReader file(path);
  std::string head(std::min<uint64_t>(file.size(), kHeadBytes), '\0');
  file.read_at(0, std::as_writable_bytes(std::span(head)));
  return head;
}

bool is_text(std::string_view head) {
  const auto is_control = [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte == 127 || (byte < 32 && c != '\t' && c != '\r' && c != '\n');
  };
  return !head.empty() && std::none_of(head.begin(), head.end(), is_control);
}

[[noreturn]] void refuse_form(const std::string& path, std::string_view head) {
  const bool is_pointer = head.starts_with("version https://git-lfs");
  throw ModelError(
      "E1714",
      is_pointer ? "this is a Git LFS pointer, not data"
                 : "the data is no .npz, .npy, idx or CSV file, and no folder of .npy files",
      {.where = path,
       .help = is_pointer
                   ? "run `git lfs pull`, then try again"
                   : "save arrays with numpy: np.savez('data.npz', input=x, labels=y)"});
}

}  // namespace

SampleArrays open_samples(const std::string& path, const Limits& limits, const CsvOptions& csv) {
  std::error_code problem;
  if (std::filesystem::is_directory(path, problem)) return open_npy_folder(path, limits);
  const std::string head = first_bytes(path);
  if (head.starts_with("PK\3\4")) {
    SampleArrays arrays;
    for (auto& [name, array] : open_npz(path, limits)) arrays[name] = std::make_shared<FileArray>(std::move(array));
    return arrays;
  }
  if (head.starts_with("\x93NUMPY")) return {{"arr_0", std::make_shared<FileArray>(open_npy(path, limits))}};
  if (is_idx(head)) return open_idx(path, limits);
  if (is_text(head) && !head.starts_with("version https://git-lfs")) return open_csv(path, csv, limits);
  refuse_form(path, head);
}

SampleArrays samples_of(const std::map<std::string, Tensor>& arrays) {
  SampleArrays samples;
  for (const auto& [name, array] : arrays) samples[name] = std::make_shared<MemoryArray>(array);
  return samples;
}

}  // namespace niwaki
