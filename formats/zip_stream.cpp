#include "formats/zip_stream.h"

#include <zlib.h>

#include <algorithm>
#include <vector>

#include "compress/error.h"

namespace niwaki {
namespace {

constexpr size_t kChunk = size_t{256} << 10;

[[noreturn]] void fail(const char* code, const char* cause, const FileReader& file,
                       const ZipEntry& entry) {
  throw ModelError(code, cat("entry '", printable(entry.name), "' of the zip container ", cause),
                   {.where = cat(printable(file.path()), ", byte ", entry.offset),
                    .help = "the file is damaged: copy it again and compare its sha256"});
}

}  // namespace

struct ZipStream::Inflater {
  z_stream stream{};
  std::vector<std::byte> input;
  uint64_t taken = 0;  // compressed bytes read from the file
  bool ended = false;
  Inflater() : input(kChunk) {
    if (::inflateInit2(&stream, -MAX_WBITS) != Z_OK)
      throw EnvironmentError("E4002", "not enough memory to inflate a zip entry");
  }
  ~Inflater() { ::inflateEnd(&stream); }
};

ZipStream::ZipStream(const FileReader& file, const ZipEntry& entry) : file_(file), entry_(entry) {
  if (entry.deflated) inflater_ = std::make_unique<Inflater>();
}

ZipStream::~ZipStream() = default;

void ZipStream::read(std::span<std::byte> out) {
  if (out.size() > entry_.size - position_)
    fail("E1602", "is shorter than what is asked of it", file_, entry_);
  if (entry_.deflated) {
    inflate(out);
  } else {
    file_.read_at(entry_.offset + position_, out);
  }
  if (!out.empty()) {  // zlib takes a null pointer as a wish to start anew
    crc_ = static_cast<uint32_t>(
        ::crc32_z(crc_, reinterpret_cast<const Bytef*>(out.data()), out.size()));
  }
  position_ += out.size();
  if (position_ == entry_.size && !checked_) require_end();
}

void ZipStream::skip(uint64_t count) {
  std::vector<std::byte> scratch(static_cast<size_t>(std::min<uint64_t>(count, kChunk)));
  do {
    const size_t step = static_cast<size_t>(std::min<uint64_t>(count, scratch.size()));
    read(std::span(scratch).first(step));
    count -= step;
  } while (count > 0);
}

/// Reads the next piece of compressed data; false where there is none.
bool ZipStream::refill() {
  Inflater& state = *inflater_;
  const size_t step =
      static_cast<size_t>(std::min<uint64_t>(kChunk, entry_.compressed - state.taken));
  if (step == 0) return false;
  file_.read_at(entry_.offset + state.taken, std::span(state.input).first(step));
  state.taken += step;
  state.stream.next_in = reinterpret_cast<Bytef*>(state.input.data());
  state.stream.avail_in = static_cast<uInt>(step);
  return true;
}

void ZipStream::inflate(std::span<std::byte> out) {
  Inflater& state = *inflater_;
  while (!out.empty() && !state.ended) {
    const bool has_input = state.stream.avail_in > 0 || refill();  // output may be pending without
    const size_t room = std::min<size_t>(out.size(), size_t{1} << 30);
    state.stream.next_out = reinterpret_cast<Bytef*>(out.data());
    state.stream.avail_out = static_cast<uInt>(room);
    const int result = ::inflate(&state.stream, Z_NO_FLUSH);
    if (result == Z_BUF_ERROR && !has_input) break;
    if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR) {
      fail("E1602", "holds damaged deflate data", file_, entry_);
    }
    state.ended = result == Z_STREAM_END;
    out = out.subspan(room - state.stream.avail_out);
  }
  if (!out.empty()) fail("E1602", "inflates to less than its header says", file_, entry_);
}

void ZipStream::require_end() {
  checked_ = true;
  if (inflater_ != nullptr) require_inflated();
  if (crc_ != entry_.crc) fail("E1607", "fails its CRC check", file_, entry_);
}

/// The end mark may still be unread; one more byte of output would be too many.
void ZipStream::require_inflated() {
  Inflater& state = *inflater_;
  std::byte extra{};
  while (!state.ended) {
    const bool has_input = state.stream.avail_in > 0 || refill();
    state.stream.next_out = reinterpret_cast<Bytef*>(&extra);
    state.stream.avail_out = 1;
    const int result = ::inflate(&state.stream, Z_NO_FLUSH);
    if (result == Z_BUF_ERROR && !has_input) fail("E1602", "is cut off", file_, entry_);
    const bool sane = (result == Z_OK || result == Z_STREAM_END) && state.stream.avail_out == 1;
    if (!sane) fail("E1602", "inflates to more than its header says", file_, entry_);
    state.ended = result == Z_STREAM_END;
  }
  if (state.taken != entry_.compressed || state.stream.avail_in != 0) {
    fail("E1602", "has bytes behind its deflate data", file_, entry_);
  }
}

}  // namespace niwaki
