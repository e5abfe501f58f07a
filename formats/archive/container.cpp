#include "formats/archive/container.h"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <set>

namespace niwaki::archive {
namespace {

constexpr std::array<uint8_t, kMagicBytes> kMagic = {0x89, 'n', 'i', 'w', 'a', 'k', 'i', '\n'};
constexpr uint8_t kVersion = 1;
constexpr size_t kMostNameBytes = 255;

uint32_t checksum(ByteView bytes) { return static_cast<uint32_t>(::crc32_z(0, bytes.data(), bytes.size())); }

int digit(char c) { return c <= '9' ? c - '0' : c - 'a' + 10; }

void put_digest(Bytes& out, const std::string& hex) {
  for (size_t i = 0; i < 64; i += 2) out.push_back(static_cast<uint8_t>(digit(hex.at(i)) << 4 | digit(hex.at(i + 1))));
}

std::string read_digest(ByteReader& reader) {
  std::string hex;
  for (const uint8_t byte : reader.take(32)) {
    hex += "0123456789abcdef"[byte >> 4];
    hex += "0123456789abcdef"[byte & 15];
  }
  return hex;
}

Bytes index_of(const Contents& contents) {
  Bytes out;
  put_digest(out, contents.sha256);
  put_varint(out, contents.model_bytes);
  put_varint(out, contents.side_files.size());
  for (const SideFile& file : contents.side_files) {
    put_varint(out, file.name.size());
    out.insert(out.end(), file.name.begin(), file.name.end());
    put_varint(out, file.bytes);
  }
  put_varint(out, contents.streams.size());
  for (const Stream& stream : contents.streams) {
    put_varint(out, stream.bytes);
    put_varint(out, stream.coded.size());
    put_u32(out, checksum(stream.coded));
  }
  put_varint(out, contents.placements.size());
  uint64_t at = 0;
  for (const Placement& placement : contents.placements) {
    put_varint(out, placement.offset - at);
    put_varint(out, placement.stream);
    at = placement.offset + contents.streams.at(placement.stream).bytes;
  }
  return out;
}

/// How many entries follow; each takes `least` bytes, so that the index bounds what is allocated.
uint64_t read_count(ByteReader& reader, uint64_t least) {
  const uint64_t count = reader.varint();
  if (count > reader.left() / least) refuse("E1802", "the archive is damaged: its index announces more than it holds");
  return count;
}

bool is_plain_name(const std::string& name) {
  if (name.empty() || name.size() > kMostNameBytes || name == "." || name == "..") return false;
  return std::ranges::none_of(name, [](char c) { return c == '/' || c == '\\' || c == ':' || static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

void read_side_files(ByteReader& reader, Contents& contents) {
  std::set<std::string> names;
  const uint64_t count = read_count(reader, 2);
  for (uint64_t i = 0; i < count; ++i) {
    const ByteView name = reader.take(reader.varint());
    SideFile file{.name = std::string(name.begin(), name.end())};
    file.bytes = reader.varint();
    if (!is_plain_name(file.name) || !names.insert(file.name).second) {
      refuse("E1805", cat("the archive names a data file '", printable(file.name, 60), "': needed one plain name, once"));
    }
    contents.side_files.push_back(std::move(file));
  }
}

void read_streams(ByteReader& reader, ByteView coded, Contents& contents) {
  const uint64_t count = read_count(reader, 6);
  for (uint64_t i = 0; i < count; ++i) {
    Stream stream{.bytes = reader.varint()};
    const uint64_t length = reader.varint();
    const uint32_t expected = reader.u32();
    if (length > coded.size()) refuse("E1802", cat("the archive is damaged: part ", i, " lies outside the file"));
    stream.coded = coded.first(length);
    coded = coded.subspan(length);
    if (checksum(stream.coded) != expected) refuse("E1803", cat("the archive is damaged: checksum of part ", i));
    contents.streams.push_back(stream);
  }
  if (count == 0) refuse("E1802", "the archive is damaged: it has no parts");
  if (!coded.empty()) refuse("E1802", "the archive is damaged: bytes are left behind its end");
}

void read_placements(ByteReader& reader, Contents& contents) {
  const uint64_t total = contents.original_bytes(), count = read_count(reader, 2);
  uint64_t at = 0, outside = total;
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t gap = reader.varint(), stream = reader.varint();
    if (stream == 0 || stream >= contents.streams.size()) refuse("E1802", "the archive is damaged: a place without its part");
    const uint64_t bytes = contents.streams[stream].bytes;
    if (gap > total - at || bytes > total - at - gap) refuse("E1802", "the archive is damaged: a place outside the model");
    contents.placements.push_back({.offset = at + gap, .stream = static_cast<uint32_t>(stream)});
    at += gap + bytes;
    outside -= bytes;
  }
  if (contents.streams[0].bytes != outside) refuse("E1802", "the archive is damaged: its parts do not make up the model");
}

void require_limits(const Contents& contents, uint64_t archive_bytes, const Limits& limits) {
  constexpr uint64_t kMost = uint64_t{1} << 62;
  uint64_t total = contents.model_bytes;
  for (const SideFile& file : contents.side_files) total = file.bytes > kMost - std::min(total, kMost) ? kMost : total + file.bytes;
  const uint64_t ratio = std::max<uint64_t>(limits.inflate_ratio, 1);
  const uint64_t ratio_bytes = archive_bytes > kMost / ratio ? kMost : archive_bytes * ratio;
  const uint64_t allowed = std::max(limits.inflated_bytes, ratio_bytes);
  if (total <= allowed) return;
  throw ModelError("E1004", "the model in the archive exceeds the limit 'inflated_bytes'",
                   {.found = cat("found ", total, " bytes in an archive of ", archive_bytes, "; the limit is ", allowed),
                    .help = "if you trust the file, add `--limit inflated_bytes=N`"});
}

}  // namespace

uint64_t Contents::original_bytes() const {
  uint64_t total = model_bytes;
  for (const SideFile& file : side_files) total += file.bytes;
  return total;
}

bool is_archive(ByteView bytes) { return bytes.size() >= kMagicBytes && std::ranges::equal(bytes.first(kMagicBytes), kMagic); }

Bytes write_container(const Contents& contents) {
  const Bytes index = index_of(contents);
  Bytes out(kMagic.begin(), kMagic.end());
  out.push_back(kVersion);
  put_u32(out, static_cast<uint32_t>(index.size()));
  put_u32(out, checksum(index));
  put_bytes(out, index);
  for (const Stream& stream : contents.streams) put_bytes(out, stream.coded);
  return out;
}

Contents read_container(ByteView bytes, const Limits& limits) {
  if (!is_archive(bytes)) refuse("E1801", "this is no Niwaki archive");
  ByteReader reader(bytes.subspan(kMagicBytes), "E1802");
  if (const int version = reader.byte(); version != kVersion) {
    throw ModelError("E1801", cat("the archive has the unknown version ", version), {.found = cat("needed ", int{kVersion}), .help = "install a newer Niwaki"});
  }
  const uint32_t length = reader.u32(), expected = reader.u32();
  const ByteView coded_index = reader.take(length);
  if (checksum(coded_index) != expected) refuse("E1803", "the archive is damaged: checksum of its index");
  ByteReader index(coded_index, "E1802");
  Contents contents{.sha256 = read_digest(index)};
  contents.model_bytes = index.varint();
  read_side_files(index, contents);
  require_limits(contents, bytes.size(), limits);
  read_streams(index, reader.rest(), contents);
  read_placements(index, contents);
  index.require_end();
  return contents;
}

}  // namespace niwaki::archive
