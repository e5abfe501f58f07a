#include "formats/npy.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <mutex>
#include <optional>
#include <span>
#include <utility>

#include "compress/error.h"
#include "compress/mapped_file.h"
#include "formats/npy_header.h"
#include "formats/zip.h"
#include "formats/zip_stream.h"

namespace niwaki {
namespace {

/// Where the bytes of an array come from; offset 0 is its header.
class Source {
 public:
  virtual ~Source() = default;
  virtual uint64_t size() const = 0;
  virtual void read_at(uint64_t offset, std::span<std::byte> out) const = 0;
};

class FileSource : public Source {
 public:
  explicit FileSource(const std::string& path) : file_(path) {}
  uint64_t size() const override { return file_.size(); }
  void read_at(uint64_t offset, std::span<std::byte> out) const override {
    file_.read_at(offset, out);
  }

 private:
  FileReader file_;
};

class StoredSource : public Source {
 public:
  StoredSource(std::shared_ptr<const ZipFile> zip, const ZipEntry& entry)
      : zip_(std::move(zip)), entry_(entry) {}
  uint64_t size() const override { return entry_.size; }
  void read_at(uint64_t offset, std::span<std::byte> out) const override {
    zip_->read_stored(entry_, offset, out);
  }

 private:
  std::shared_ptr<const ZipFile> zip_;
  const ZipEntry& entry_;
};

/// Inflates from front to back, and from the start again when it must go back.
class DeflatedSource : public Source {
 public:
  DeflatedSource(std::shared_ptr<const ZipFile> zip, const ZipEntry& entry)
      : zip_(std::move(zip)), entry_(entry) {}
  uint64_t size() const override { return entry_.size; }
  void read_at(uint64_t offset, std::span<std::byte> out) const override {
    const std::lock_guard lock(mutex_);
    if (!stream_ || stream_->position() > offset)
      stream_ = std::make_unique<ZipStream>(zip_->file(), entry_);
    if (offset > stream_->position()) stream_->skip(offset - stream_->position());
    stream_->read(out);
  }

 private:
  std::shared_ptr<const ZipFile> zip_;
  const ZipEntry& entry_;
  mutable std::mutex mutex_;
  mutable std::unique_ptr<ZipStream> stream_;
};

void append_utf8(std::string& text, uint32_t c) {
  const auto put = [&](uint32_t byte) { text += static_cast<char>(byte); };
  if (c < 0x80) return put(c);
  if (c < 0x800) {
    put(0xc0 | c >> 6);
  } else {
    if (c < 0x10000) {
      put(0xe0 | c >> 12);
    } else {
      put(0xf0 | c >> 18);
      put(0x80 | (c >> 12 & 63));
    }
    put(0x80 | (c >> 6 & 63));
  }
  put(0x80 | (c & 63));
}

std::string from_utf32(std::string_view bytes, const std::string& name) {
  std::string text;
  for (size_t i = 0; i + 4 <= bytes.size(); i += 4) {
    uint32_t c = 0;
    std::memcpy(&c, bytes.data() + i, 4);
    if (c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) {
      throw ModelError("E1702", "an .npy array of text holds a number that is no character",
                       {.where = name, .help = "save the array again with `numpy.save`"});
    }
    append_utf8(text, c);
  }
  return text;
}

}  // namespace

struct NpyArray::State {
  std::string name;  // for messages
  NpyHeader header;
  uint64_t elements = 1;
  std::unique_ptr<const Source> source;
  mutable std::mutex mutex;
  mutable std::optional<Tensor> ordered;  // a Fortran array, once read and turned into C order

  std::vector<int64_t> row_sizes(int64_t first, int64_t count) const;
  uint64_t row_bytes() const;
  void read(uint64_t offset, std::span<std::byte> out) const {
    source->read_at(header.data_offset + offset, out);
  }
  Tensor read_tensor(const std::vector<int64_t>& sizes, uint64_t offset) const;
  const Tensor& read_fortran() const;
};

/// Checks a header against what there is, and makes the array.
struct NpyOpener {
  static NpyArray open(std::unique_ptr<const Source> source, const std::string& name,
                       const Limits& limits) {
    auto state = std::make_shared<NpyArray::State>();
    state->name = name;
    std::string head(static_cast<size_t>(std::min<uint64_t>(source->size(), kNpyHeaderBytes)),
                     '\0');
    source->read_at(0, std::as_writable_bytes(std::span(head)));
    state->header = parse_npy_header(head, name);
    state->source = std::move(source);
    check_size(*state, limits);
    return NpyArray(std::move(state));
  }

  static void check_size(NpyArray::State& state, const Limits& limits) {
    const NpyHeader& header = state.header;
    bool fits = true;
    uint64_t bytes = 0;
    // a size of 0 hides no overflow: strides are products of the others
    for (const int64_t size : header.sizes) {
      const uint64_t factor = static_cast<uint64_t>(std::max<int64_t>(size, 1));
      fits = fits && !__builtin_mul_overflow(state.elements, factor, &state.elements);
    }
    fits = fits && state.elements <= limits.tensor_elements;
    if (std::count(header.sizes.begin(), header.sizes.end(), 0) > 0) state.elements = 0;
    fits = fits && !__builtin_mul_overflow(state.elements, static_cast<uint64_t>(header.item_bytes),
                                           &bytes);
    const uint64_t found = state.source->size() - header.data_offset;
    if (fits && bytes == found) return;
    throw ModelError(
        "E1703", "an .npy array has more or fewer bytes than its header says",
        {.where = state.name,
         .found = cat(name_of(header.dtype), " ", shape_text(header.sizes), ": needed ",
                      fits ? cat(bytes) : std::string("more than any file has"), ", found ", found),
         .help = "the file is probably cut off; save the array again"});
  }
};

std::vector<int64_t> NpyArray::State::row_sizes(int64_t first, int64_t count) const {
  const bool inside = !header.sizes.empty() && first >= 0 && count >= 0 &&
                      first <= header.sizes[0] && count <= header.sizes[0] - first;
  if (!inside)
    throw InternalError(
        cat("rows ", first, " to ", first + count, " of an array ", shape_text(header.sizes)));
  std::vector<int64_t> sizes = header.sizes;
  sizes[0] = count;
  return sizes;
}

uint64_t NpyArray::State::row_bytes() const {
  const int64_t rows = header.sizes.empty() ? 1 : header.sizes[0];
  return rows == 0
             ? 0
             : elements / static_cast<uint64_t>(rows) * static_cast<uint64_t>(header.item_bytes);
}

Tensor NpyArray::State::read_tensor(const std::vector<int64_t>& sizes, uint64_t offset) const {
  Tensor tensor = at::empty(sizes, scalar_type(header.dtype));
  auto* data = static_cast<std::byte*>(tensor.mutable_data_ptr());
  const std::span<std::byte> bytes(data, tensor.nbytes());
  read(offset, bytes);
  const bool odd =
      header.dtype == DType::boolean &&
      std::any_of(bytes.begin(), bytes.end(), [](std::byte b) { return b > std::byte{1}; });
  if (odd) {
    throw ModelError("E1702", "an .npy array of booleans holds a byte that is neither 0 nor 1",
                     {.where = name, .help = "save it again: `array.astype(bool)`"});
  }
  return tensor;
}

const Tensor& NpyArray::State::read_fortran() const {
  const std::lock_guard lock(mutex);
  if (!ordered) {
    std::vector<int64_t> reversed(header.sizes.rbegin(), header.sizes.rend());
    std::vector<int64_t> order;
    for (size_t i = reversed.size(); i-- > 0;) order.push_back(static_cast<int64_t>(i));
    ordered = read_tensor(reversed, 0).permute(order).contiguous();
  }
  return *ordered;
}

DType NpyArray::dtype() const { return state_->header.dtype; }
const std::vector<int64_t>& NpyArray::sizes() const { return state_->header.sizes; }

Tensor NpyArray::rows(int64_t first, int64_t count) const {
  const std::vector<int64_t> sizes = state_->row_sizes(first, count);
  if (dtype() == DType::string) throw InternalError("text was read as numbers");
  if (state_->header.fortran_order && sizes.size() > 1)
    return state_->read_fortran().narrow(0, first, count).clone();
  return state_->read_tensor(sizes, static_cast<uint64_t>(first) * state_->row_bytes());
}

Tensor NpyArray::all() const {
  if (!sizes().empty()) return rows(0, sizes()[0]);
  if (dtype() == DType::string) throw InternalError("text was read as numbers");
  return state_->read_tensor({}, 0);
}

std::vector<std::string> NpyArray::string_rows(int64_t first, int64_t count) const {
  if (!sizes().empty()) state_->row_sizes(first, count);
  const NpyHeader& header = state_->header;
  if (header.dtype != DType::string) throw InternalError("numbers were read as text");
  if (header.fortran_order && header.sizes.size() > 1) {
    throw ModelError(
        "E1702", "an .npy array of text is in Fortran order, which is not read",
        {.where = state_->name, .help = "save `numpy.ascontiguousarray(array)` instead"});
  }
  const auto item = static_cast<size_t>(header.item_bytes);
  const uint64_t row_bytes = state_->row_bytes();
  const uint64_t row_items = row_bytes / item;
  std::vector<std::string> texts;
  std::string bytes(item, '\0');
  for (uint64_t i = 0; i < row_items * static_cast<uint64_t>(count); ++i) {
    state_->read(static_cast<uint64_t>(first) * row_bytes + i * item,
                 std::as_writable_bytes(std::span(bytes)));
    std::string text = header.utf32 ? from_utf32(bytes, state_->name) : bytes;
    text.erase(text.find_last_not_of('\0') + 1);
    texts.push_back(std::move(text));
  }
  return texts;
}

std::vector<std::string> NpyArray::all_strings() const {
  return string_rows(0, sizes().empty() ? 1 : sizes()[0]);
}

NpyArray open_npy(const std::string& path, const Limits& limits) {
  return NpyOpener::open(std::make_unique<FileSource>(path), printable(path), limits);
}

std::map<std::string, NpyArray> open_npz(const std::string& path, const Limits& limits) {
  const auto zip = ZipFile::open(path, limits, {.gaps = true, .value_names = true});
  std::map<std::string, NpyArray> arrays;
  for (const ZipEntry& entry : zip->entries()) {
    const std::string where = cat(printable(path), ", entry '", printable(entry.name), "'");
    if (!entry.name.ends_with(".npy")) {
      throw ModelError("E1701", "an .npz container holds something that is no array",
                       {.where = where, .help = "save the arrays again with `numpy.savez`"});
    }
    zip->verify(entry);
    std::unique_ptr<const Source> source;
    if (entry.deflated) {
      source = std::make_unique<DeflatedSource>(zip, entry);
    } else {
      source = std::make_unique<StoredSource>(zip, entry);
    }
    arrays.emplace(entry.name.substr(0, entry.name.size() - 4),
                   NpyOpener::open(std::move(source), where, limits));
  }
  return arrays;
}

}  // namespace niwaki
