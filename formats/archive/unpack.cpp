#include "formats/archive/unpack.h"

#include "compress/digest.h"
#include "compress/parallel.h"
#include "formats/archive/tensor_stream.h"

#include <algorithm>

namespace niwaki::archive {
namespace {

/// Decodes every stream where it goes first, then copies it to its other places.
void fill_placements(const Contents& contents, Bytes& original) {
  std::vector<std::vector<uint64_t>> offsets(contents.streams.size());
  for (const Placement& placement : contents.placements) offsets[placement.stream].push_back(placement.offset);
  parallel_for(static_cast<int64_t>(contents.streams.size()), [&](int64_t i) {
    if (offsets[i].empty()) return;
    const Stream& stream = contents.streams[i];
    const std::span<uint8_t> first = std::span(original).subspan(offsets[i][0], stream.bytes);
    decode_tensor(stream.coded, first);
    for (size_t k = 1; k < offsets[i].size(); ++k) std::ranges::copy(first, original.begin() + offsets[i][k]);
  });
}

void fill_rest(const Contents& contents, Bytes& original) {
  Bytes rest(contents.streams[0].bytes);
  decode_tensor(contents.streams[0].coded, rest);
  uint64_t at = 0, taken = 0;
  const auto copy_until = [&](uint64_t end) {
    std::copy_n(rest.begin() + taken, end - at, original.begin() + at);
    taken += end - at;
  };
  for (const Placement& placement : contents.placements) {
    copy_until(placement.offset);
    at = placement.offset + contents.streams[placement.stream].bytes;
  }
  copy_until(original.size());
}

}  // namespace

std::span<const std::byte> Unpacked::model() const { return std::as_bytes(std::span(original)).first(model_bytes); }

std::span<const std::byte> Unpacked::side_file(size_t i) const {
  uint64_t offset = model_bytes;
  for (size_t k = 0; k < i; ++k) offset += side_files[k].bytes;
  return std::as_bytes(std::span(original)).subspan(offset, side_files[i].bytes);
}

Unpacked unpack_bytes(ByteView archive, const Limits& limits) {
  const Contents contents = read_container(archive, limits);
  Unpacked unpacked{.original = Bytes(contents.original_bytes()), .model_bytes = contents.model_bytes, .side_files = contents.side_files};
  fill_placements(contents, unpacked.original);
  fill_rest(contents, unpacked.original);
  if (sha256(std::as_bytes(std::span(unpacked.original))) != contents.sha256) refuse("E1803", "the archive is damaged: digest of the model");
  return unpacked;
}

}  // namespace niwaki::archive
