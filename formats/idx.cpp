#include "formats/idx.h"

#include <zlib.h>

#include <algorithm>
#include <filesystem>
#include <memory>

#include "compress/error.h"
#include "compress/mapped_file.h"

namespace niwaki {
namespace {

constexpr size_t kChunk = size_t{64} << 10;
constexpr unsigned char kBytes = 8;  // the type code of uint8

bool is_gzip(std::string_view head) { return head.starts_with("\x1f\x8b"); }

[[noreturn]] void refuse(const std::string& path, const std::string& cause,
                         const std::string& found = "") {
  throw ModelError("E1708", cause,
                   {.where = printable(path),
                    .found = found,
                    .help = "an idx file of bytes is read, as MNIST has it; copy the file again"});
}

/// What gzip data inflates to, from front to back.
class Gunzip {
 public:
  explicit Gunzip(const FileReader& file) : file_(file), input_(kChunk) {
    if (::inflateInit2(&stream_, 16 + MAX_WBITS) != Z_OK)
      throw EnvironmentError("E4002", "not enough memory to inflate gzip data");
  }
  Gunzip(const Gunzip&) = delete;
  Gunzip& operator=(const Gunzip&) = delete;
  ~Gunzip() { ::inflateEnd(&stream_); }

  /// How many bytes were there, at most as many as asked for.
  size_t read(std::span<std::byte> out) {
    size_t got = 0;
    while (got < out.size() && !ended_) {
      const bool has_input = stream_.avail_in > 0 || refill();
      const size_t room = std::min<size_t>(out.size() - got, size_t{1} << 30);
      stream_.next_out = reinterpret_cast<Bytef*>(out.data() + got);
      stream_.avail_out = static_cast<uInt>(room);
      const int result = ::inflate(&stream_, Z_NO_FLUSH);
      if (result == Z_BUF_ERROR && !has_input) refuse(file_.path(), "the gzip data is cut off");
      if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
        refuse(file_.path(), "the gzip data is damaged");
      ended_ = result == Z_STREAM_END;
      got += room - stream_.avail_out;
    }
    return got;
  }
  bool has_more_input() const { return stream_.avail_in > 0 || taken_ < file_.size(); }

 private:
  bool refill() {
    const size_t step = static_cast<size_t>(std::min<uint64_t>(kChunk, file_.size() - taken_));
    if (step == 0) return false;
    file_.read_at(taken_, std::span(input_).first(step));
    taken_ += step;
    stream_.next_in = reinterpret_cast<Bytef*>(input_.data());
    stream_.avail_in = static_cast<uInt>(step);
    return true;
  }
  const FileReader& file_;
  std::vector<std::byte> input_;
  z_stream stream_{};
  uint64_t taken_ = 0;
  bool ended_ = false;
};

struct IdxHeader {
  std::vector<int64_t> sizes;
  uint64_t bytes = 1;        // of the elements
  uint64_t data_offset = 0;  // behind the header
};

/// `read` fills a span from the front of the file on, and says how much of it there was.
template <typename Read>
IdxHeader read_header(const std::string& path, const Limits& limits, const Read& read) {
  std::array<unsigned char, 4> magic{};
  if (read(std::as_writable_bytes(std::span(magic))) != magic.size())
    refuse(path, "the idx header is cut off");
  if (magic[0] != 0 || magic[1] != 0) refuse(path, "the content is no idx file");
  if (magic[2] != kBytes)
    refuse(path, "the idx file has elements of another type than bytes",
           cat("found type ", int{magic[2]}, ", needed ", int{kBytes}));
  const uint64_t rank = magic[3];
  if (rank == 0 || rank > limits.rank) refuse(path, "the idx file has no usable rank", cat(rank));
  IdxHeader header{.data_offset = 4 + 4 * rank};
  bool fits = true;
  for (uint64_t i = 0; i < rank; ++i) {
    std::array<unsigned char, 4> b{};
    if (read(std::as_writable_bytes(std::span(b))) != b.size())
      refuse(path, "the idx header is cut off");
    const uint64_t size = uint64_t{b[0]} << 24 | uint64_t{b[1]} << 16 | uint64_t{b[2]} << 8 | b[3];
    if (i > 0 && size == 0) refuse(path, "the idx file has samples without elements");
    header.sizes.push_back(static_cast<int64_t>(size));
    fits = fits && !__builtin_mul_overflow(header.bytes, std::max<uint64_t>(size, 1), &header.bytes);
  }
  if (!fits || header.bytes > limits.tensor_elements)
    refuse(path, "the idx header announces more bytes than any file has", shape_text(header.sizes));
  if (header.sizes[0] == 0) header.bytes = 0;
  return header;
}

class IdxFile : public ReshapableArray {
 public:
  IdxFile(std::shared_ptr<const FileReader> file, IdxHeader header)
      : file_(std::move(file)), header_(std::move(header)) {}
  DType dtype() const override { return DType::uint8; }
  std::vector<int64_t> sizes() const override { return header_.sizes; }
  bool fills_any_shape() const override { return true; }
  RunValue rows(int64_t first, int64_t count) const override {
    std::vector<int64_t> sizes = header_.sizes;
    sizes[0] = count;
    Tensor tensor = at::empty(sizes, at::kByte);
    const uint64_t row_bytes = header_.bytes / static_cast<uint64_t>(header_.sizes[0]);
    file_->read_at(header_.data_offset + static_cast<uint64_t>(first) * row_bytes,
                   {static_cast<std::byte*>(tensor.mutable_data_ptr()), tensor.nbytes()});
    return RunValue(tensor);
  }

 private:
  std::shared_ptr<const FileReader> file_;
  IdxHeader header_;
};

class IdxBytes : public ReshapableArray {
 public:
  explicit IdxBytes(Tensor bytes) : bytes_(std::move(bytes)) {}
  DType dtype() const override { return DType::uint8; }
  std::vector<int64_t> sizes() const override { return bytes_.sizes().vec(); }
  bool fills_any_shape() const override { return true; }
  RunValue rows(int64_t first, int64_t count) const override {
    return RunValue(bytes_.narrow(0, first, count));
  }

 private:
  Tensor bytes_;
};

void require_inflatable(const std::string& path, const IdxHeader& header, uint64_t file_bytes,
                        const Limits& limits) {
  const bool is_large = header.bytes > limits.inflated_bytes;
  if (!is_large && header.bytes / limits.inflate_ratio <= file_bytes) return;
  const char* limit = is_large ? "inflated_bytes" : "inflate_ratio";
  throw ModelError("E1004", cat("limit '", limit, "' is exceeded"),
                   {.where = printable(path),
                    .found = cat(file_bytes, " bytes announce ", header.bytes),
                    .help = "gunzip the file: a plain one is read piece by piece"});
}

std::shared_ptr<const SampleArray> inflate(const FileReader& file, const Limits& limits) {
  Gunzip gunzip(file);
  const IdxHeader header = read_header(
      file.path(), limits, [&](std::span<std::byte> out) { return gunzip.read(out); });
  require_inflatable(file.path(), header, file.size(), limits);
  Tensor bytes = at::empty(header.sizes, at::kByte);
  const std::span<std::byte> all(static_cast<std::byte*>(bytes.mutable_data_ptr()), header.bytes);
  const size_t got = gunzip.read(all);
  std::byte extra{};
  if (got == all.size() && gunzip.read(std::span(&extra, 1)) == 0) {
    if (!gunzip.has_more_input()) return std::make_shared<IdxBytes>(bytes);
    refuse(file.path(), "there are bytes behind the gzip data");
  }
  refuse(file.path(), "the gzip data inflates to more or fewer bytes than its idx header says",
         cat("needed ", header.bytes, ", found ", got == all.size() ? "more" : cat(got)));
}

std::shared_ptr<const SampleArray> open_one(const std::string& path, const Limits& limits) {
  const auto file = std::make_shared<const FileReader>(path);
  std::string head(static_cast<size_t>(std::min<uint64_t>(file->size(), 2)), '\0');
  file->read_at(0, std::as_writable_bytes(std::span(head)));
  if (is_gzip(head)) return inflate(*file, limits);
  uint64_t offset = 0;
  const IdxHeader header = read_header(path, limits, [&](std::span<std::byte> out) {
    const uint64_t step = std::min<uint64_t>(out.size(), file->size() - offset);
    file->read_at(offset, out.first(static_cast<size_t>(step)));
    offset += step;
    return static_cast<size_t>(step);
  });
  if (file->size() - header.data_offset != header.bytes) {
    refuse(path, "the idx file has more or fewer bytes than its header says",
           cat("needed ", header.bytes, ", found ", file->size() - header.data_offset));
  }
  return std::make_shared<IdxFile>(file, header);
}

/// The labels' file beside the images', "" where there is none.
std::string labels_beside(const std::string& path) {
  const std::filesystem::path images(path);
  std::string name = images.filename().string();
  if (name.ends_with(".gz")) name.erase(name.size() - 3);
  for (const char* joint : {"-", "."}) {
    const std::string part = cat("images", joint, "idx3");
    const size_t at = name.find(part);
    if (at == name.npos) continue;
    name.replace(at, part.size(), cat("labels", joint, "idx1"));
    for (const char* suffix : {"", ".gz"}) {
      const std::string labels = (images.parent_path() / (name + suffix)).string();
      std::error_code problem;
      if (std::filesystem::exists(labels, problem)) return labels;
    }
  }
  return "";
}

/// Labels as numbers of a class.
class IdxLabels : public SampleArray {
 public:
  explicit IdxLabels(std::shared_ptr<const SampleArray> bytes) : bytes_(std::move(bytes)) {}
  DType dtype() const override { return DType::int64; }
  std::vector<int64_t> sizes() const override { return bytes_->sizes(); }
  RunValue rows(int64_t first, int64_t count) const override {
    return RunValue(bytes_->rows(first, count).tensor.to(at::kLong));
  }

 private:
  std::shared_ptr<const SampleArray> bytes_;
};

}  // namespace

bool is_idx(std::string_view head) {
  return is_gzip(head) || (head.size() >= 4 && head[0] == 0 && head[1] == 0 && head[2] == kBytes);
}

SampleArrays open_idx(const std::string& path, const Limits& limits) {
  SampleArrays arrays{{"arr_0", open_one(path, limits)}};
  const std::string labels = labels_beside(path);
  if (!labels.empty()) arrays["labels"] = std::make_shared<IdxLabels>(open_one(labels, limits));
  return arrays;
}

}  // namespace niwaki
