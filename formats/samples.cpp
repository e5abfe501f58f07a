#include "formats/samples.h"

#include "compress/error.h"
#include "compress/mapped_file.h"
#include "formats/npy.h"

#include <cstring>

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

std::string first_bytes(const std::string& path) {
  const FileReader file(path);
  std::string head(std::min<uint64_t>(file.size(), 6), '\0');
  file.read_at(0, std::as_writable_bytes(std::span(head)));
  return head;
}

}  // namespace

SampleArrays open_samples(const std::string& path, const Limits& limits) {
  const std::string head = first_bytes(path);
  SampleArrays arrays;
  if (head.rfind("PK\3\4", 0) == 0) {
    for (auto& [name, array] : open_npz(path, limits)) arrays[name] = std::make_shared<FileArray>(std::move(array));
    return arrays;
  }
  if (head.rfind("\x93NUMPY", 0) == 0) {
    arrays["arr_0"] = std::make_shared<FileArray>(open_npy(path, limits));
    return arrays;
  }
  throw ModelError("E1714", "the data is neither an .npz nor an .npy file",
                   {.where = path, .help = "save arrays with numpy: np.savez('data.npz', input=x, labels=y)"});
}

SampleArrays samples_of(const std::map<std::string, Tensor>& arrays) {
  SampleArrays samples;
  for (const auto& [name, array] : arrays) samples[name] = std::make_shared<MemoryArray>(array);
  return samples;
}

}  // namespace niwaki
