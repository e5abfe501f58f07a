#include "formats/npy_writer.h"

#include <zlib.h>

#include <algorithm>
#include <span>

#include "compress/error.h"
#include "formats/npy_header.h"

namespace niwaki {
namespace {

constexpr uint64_t kFull32 = 0xffffffff;
constexpr uint16_t kVersion = 45;  // zip64
constexpr uint16_t kDate = 0x21;   // 1 January 1980: no time may get into an output

class Record {
 public:
  Record& put(uint64_t value, int width) {
    for (int i = 0; i < width; ++i) bytes_ += static_cast<char>(value >> (8 * i));
    return *this;
  }
  Record& put(const std::string& text) {
    bytes_ += text;
    return *this;
  }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

/// The tensor on the CPU, in C order and in a type that NumPy has.
Tensor plain(const Tensor& tensor) {
  Tensor result = tensor.detach().to(at::kCPU);
  if (npy_descr(dtype_of(result.scalar_type())).empty()) result = result.to(at::kFloat);
  return result.contiguous();
}

std::span<const std::byte> bytes_of(const Tensor& tensor) {
  return {static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes()};
}

std::string header_of(const Tensor& tensor) {
  return npy_header(npy_descr(dtype_of(tensor.scalar_type())), tensor.sizes().vec());
}

uint32_t crc_of(uint32_t crc, std::span<const std::byte> bytes) {
  if (bytes.empty()) return crc;  // zlib takes a null pointer as a wish to start anew
  return static_cast<uint32_t>(
      ::crc32_z(crc, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

uint16_t flags_of(const std::string& name) {
  const bool ascii = std::all_of(name.begin(), name.end(),
                                 [](char c) { return static_cast<unsigned char>(c) < 0x80; });
  return ascii ? 0 : 0x800;
}

/// UTF-8 to 4-byte characters; bytes that are not UTF-8 become U+FFFD.
std::u32string to_utf32(const std::string& text) {
  std::u32string wide;
  for (size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const size_t length = lead < 0x80                   ? 1
                          : lead >= 0xf0 && lead < 0xf5 ? 4
                          : lead >= 0xe0                ? 3
                          : lead >= 0xc2                ? 2
                                                        : 0;
    char32_t c = length == 1 ? lead : lead & (0x7f >> length);
    bool valid = length > 0 && lead < 0xf5 && i + length <= text.size();
    for (size_t j = 1; valid && j < length; ++j) {
      const auto next = static_cast<unsigned char>(text[i + j]);
      valid = (next & 0xc0) == 0x80;
      c = c << 6 | (next & 0x3f);
    }
    valid = valid && c <= 0x10ffff && !(c >= 0xd800 && c < 0xe000);
    wide += valid ? c : U'\ufffd';
    i += valid ? length : 1;
  }
  return wide;
}

}  // namespace

std::string npy_bytes(const Tensor& tensor) {
  const Tensor data = plain(tensor);
  std::string bytes = header_of(data);
  const auto span = bytes_of(data);
  bytes.append(reinterpret_cast<const char*>(span.data()), span.size());
  return bytes;
}

void write_npy(const std::string& path, const Tensor& tensor) {
  const Tensor data = plain(tensor);
  AtomicFile file(path);
  file.reserve(data.nbytes());
  file.write(header_of(data));
  file.write(bytes_of(data));
  file.commit();
}

void NpzWriter::add(const std::string& name, const Tensor& tensor) {
  const Tensor data = plain(tensor);
  add_entry(name, header_of(data), bytes_of(data));
}

void NpzWriter::add_strings(const std::string& name, const std::vector<int64_t>& sizes,
                            const std::vector<std::string>& texts) {
  std::vector<std::u32string> wide;
  size_t longest = 1;
  for (const std::string& text : texts)
    longest = std::max(longest, wide.emplace_back(to_utf32(text)).size());
  std::u32string data;
  for (std::u32string& text : wide) {
    text.resize(longest, U'\0');
    data += text;
  }
  add_entry(name, npy_header(cat("<U", longest), sizes), std::as_bytes(std::span(data)));
}

void NpzWriter::add_entry(const std::string& name, const std::string& header,
                          std::span<const std::byte> data) {
  const Entry entry{name + ".npy", file_.size(), header.size() + data.size(),
                    crc_of(crc_of(0, std::as_bytes(std::span(header))), data)};
  if (entry.name.size() > 65535)
    throw InternalError("a name of more than 64 KiB cannot be an .npz entry");
  Record local;
  local.put(0x04034b50, 4)
      .put(kVersion, 2)
      .put(flags_of(entry.name), 2)
      .put(0, 2)
      .put(0, 2)
      .put(kDate, 2);
  local.put(entry.crc, 4)
      .put(kFull32, 4)
      .put(kFull32, 4)
      .put(entry.name.size(), 2)
      .put(20, 2)
      .put(entry.name);
  local.put(1, 2).put(16, 2).put(entry.size, 8).put(entry.size, 8);
  file_.write(local.bytes());
  file_.write(header);
  file_.write(data);
  entries_.push_back(entry);
}

void NpzWriter::commit() {
  const uint64_t begin = file_.size();
  for (const Entry& entry : entries_) {
    const bool large = entry.size >= kFull32 || entry.offset >= kFull32;
    Record central;
    central.put(0x02014b50, 4)
        .put(kVersion, 2)
        .put(kVersion, 2)
        .put(flags_of(entry.name), 2)
        .put(0, 2)
        .put(0, 2)
        .put(kDate, 2);
    central.put(entry.crc, 4)
        .put(large ? kFull32 : entry.size, 4)
        .put(large ? kFull32 : entry.size, 4);
    central.put(entry.name.size(), 2)
        .put(large ? 28 : 0, 2)
        .put(0, 2)
        .put(0, 2)
        .put(0, 2)
        .put(0, 4);
    central.put(large ? kFull32 : entry.offset, 4).put(entry.name);
    if (large)
      central.put(1, 2).put(24, 2).put(entry.size, 8).put(entry.size, 8).put(entry.offset, 8);
    file_.write(central.bytes());
  }
  const uint64_t end = file_.size(), count = entries_.size();
  const bool large = end >= kFull32 || count >= 0xffff;
  Record tail;
  if (large) {
    tail.put(0x06064b50, 4).put(44, 8).put(kVersion, 2).put(kVersion, 2).put(0, 4).put(0, 4);
    tail.put(count, 8).put(count, 8).put(end - begin, 8).put(begin, 8);
    tail.put(0x07064b50, 4).put(0, 4).put(end, 8).put(1, 4);
  }
  tail.put(0x06054b50, 4).put(0, 4).put(large ? 0xffff : count, 2).put(large ? 0xffff : count, 2);
  tail.put(large ? kFull32 : end - begin, 4).put(large ? kFull32 : begin, 4).put(0, 2);
  file_.write(tail.bytes());
  file_.commit();
}

}  // namespace niwaki
