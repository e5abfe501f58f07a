#include "formats/zip.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <set>
#include <string_view>
#include <utility>

#include "compress/error.h"
#include "formats/zip_stream.h"

namespace niwaki {
namespace {

constexpr uint32_t kLocal = 0x04034b50, kCentral = 0x02014b50, kEnd = 0x06054b50;
constexpr uint32_t kEnd64 = 0x06064b50, kLocator = 0x07064b50, kDescriptor = 0x08074b50;
constexpr uint64_t kFull16 = 0xffff, kFull32 = 0xffffffff;
constexpr uint16_t kSizesBehind = 8;      // flag bit 3: a data descriptor follows
constexpr uint16_t kKnownFlags = 0x080e;  // deflate effort, descriptor, UTF-8
constexpr uint64_t kMostDirectoryBytes = uint64_t{64} << 20;

uint64_t number(std::span<const std::byte> bytes, size_t at, int width) {
  uint64_t value = 0;
  for (int i = width - 1; i >= 0; --i)
    value = value << 8 | std::to_integer<uint64_t>(bytes[at + i]);
  return value;
}

/// What the central and the local header both say.
struct Header {
  uint16_t flags, method;
  uint64_t crc, compressed, size, offset;
  std::string name;
};

struct EndRecord {
  uint64_t entries, directory_size, directory_offset;
};

struct Extent {
  uint64_t begin, end;
};

}  // namespace

/// Reads and checks the directory of one container.
class ZipDirectory {
 public:
  ZipDirectory(const std::string& path, const Limits& limits, const ZipRules& rules)
      : limits_(limits), rules_(rules), zip_(new ZipFile(path)) {}

  std::shared_ptr<const ZipFile> read();

 private:
  EndRecord read_end();
  EndRecord read_end64(uint64_t end_at, const EndRecord& plain);
  void read_entry(std::span<const std::byte> directory, size_t& at);
  void apply_zip64(Header& header, std::span<const std::byte> extra, bool central) const;
  Extent check_local(const Header& central);
  uint64_t check_descriptor(const Header& central, uint64_t at);
  void check_header(const Header& header) const;
  void check_name(const std::string& name);
  void check_extents();
  std::vector<std::byte> bytes_at(uint64_t offset, uint64_t count) const;
  [[noreturn]] void fail(const char* code, const std::string& cause, uint64_t at,
                         const std::string& found = {}) const;

  const Limits& limits_;
  const ZipRules& rules_;
  std::shared_ptr<ZipFile> zip_;
  uint64_t directory_offset_ = 0;
  std::vector<Extent> extents_;
  std::set<std::string> folded_names_;
};

std::shared_ptr<const ZipFile> ZipDirectory::read() {
  const uint64_t size = zip_->file().size();
  if (size < 22 || number(bytes_at(0, 4), 0, 4) != kLocal)
    fail("E1605", "this is not a zip container", 0);
  const EndRecord end = read_end();
  directory_offset_ = end.directory_offset;
  if (end.entries > limits_.zip_entries) {
    throw ModelError("E1004", "the zip container exceeds the limit 'zip_entries'",
                     {.where = printable(zip_->file().path()),
                      .found = cat("found ", end.entries, "; the limit is ", limits_.zip_entries),
                      .help = "if you trust the file, add `--limit zip_entries=N`"});
  }
  if (end.directory_size > kMostDirectoryBytes || end.entries > end.directory_size / 46) {
    fail("E1601", "the zip directory has an impossible size", end.directory_offset);
  }
  const std::vector<std::byte> directory = bytes_at(end.directory_offset, end.directory_size);
  size_t at = 0;
  for (uint64_t i = 0; i < end.entries; ++i) read_entry(directory, at);
  if (at != directory.size())
    fail("E1605", "the zip directory holds more than its entries", directory_offset_ + at);
  check_extents();
  return std::move(zip_);
}

EndRecord ZipDirectory::read_end() {
  const uint64_t size = zip_->file().size(), at = size - 22;
  const std::vector<std::byte> end = bytes_at(at, 22);
  if (number(end, 0, 4) != kEnd || number(end, 20, 2) != 0) {
    fail("E1605", "the zip container is cut off, or something follows its end record", at);
  }
  if (number(end, 4, 2) != number(end, 6, 2) || number(end, 8, 2) != number(end, 10, 2)) {
    fail("E1606", "the zip container is spread over several files", at);
  }
  EndRecord record{number(end, 10, 2), number(end, 12, 4), number(end, 16, 4)};
  const bool has_locator = at >= 20 + 56 && number(bytes_at(at - 20, 4), 0, 4) == kLocator;
  uint64_t directory_end = at;
  if (has_locator) {
    record = read_end64(at, record);
    directory_end = at - 20 - 56;
  }
  const bool fits = record.directory_size <= directory_end &&
                    record.directory_offset == directory_end - record.directory_size;
  if (!fits) fail("E1605", "the zip end record does not lie behind the directory", at);
  return record;
}

EndRecord ZipDirectory::read_end64(uint64_t end_at, const EndRecord& plain) {
  const uint64_t at = end_at - 20 - 56;
  const std::vector<std::byte> bytes = bytes_at(at, 76);
  const bool placed =
      number(bytes, 0, 4) == kEnd64 && number(bytes, 4, 8) == 44 && number(bytes, 56 + 8, 8) == at;
  if (!placed) fail("E1605", "the zip64 end record is not where its locator says", at);
  if (number(bytes, 16, 4) != 0 || number(bytes, 20, 4) != 0 ||
      number(bytes, 24, 8) != number(bytes, 32, 8)) {
    fail("E1606", "the zip container is spread over several files", at);
  }
  const EndRecord record{number(bytes, 32, 8), number(bytes, 40, 8), number(bytes, 48, 8)};
  const auto agree = [](uint64_t small, uint64_t large, uint64_t full) {
    return small == full || small == large;
  };
  if (!agree(plain.entries, record.entries, kFull16) ||
      !agree(plain.directory_size, record.directory_size, kFull32) ||
      !agree(plain.directory_offset, record.directory_offset, kFull32)) {
    fail("E1605", "the two zip end records disagree", at);
  }
  return record;
}

void ZipDirectory::read_entry(std::span<const std::byte> directory, size_t& at) {
  const uint64_t place = directory_offset_ + at;
  if (directory.size() - at < 46 || number(directory, at, 4) != kCentral)
    fail("E1605", "the zip directory is damaged", place);
  const std::span<const std::byte> head = directory.subspan(at, 46);
  const uint64_t name = number(head, 28, 2), extra = number(head, 30, 2),
                 comment = number(head, 32, 2);
  if (directory.size() - at - 46 < name + extra + comment)
    fail("E1601", "an entry leaves the zip directory", place);
  const std::span<const std::byte> rest = directory.subspan(at + 46);
  Header header{static_cast<uint16_t>(number(head, 8, 2)),
                static_cast<uint16_t>(number(head, 10, 2)),
                number(head, 16, 4),
                number(head, 20, 4),
                number(head, 24, 4),
                number(head, 42, 4),
                std::string(reinterpret_cast<const char*>(rest.data()), name)};
  apply_zip64(header, rest.subspan(name, extra), true);
  check_header(header);
  check_name(header.name);
  if (number(head, 34, 2) != 0)
    fail("E1606", "the zip container is spread over several files", place);
  const Extent extent = check_local(header);
  zip_->index_.emplace(header.name, zip_->entries_.size());
  zip_->entries_.push_back({.name = header.name,
                            .deflated = header.method == 8,
                            .offset = extent.begin,
                            .compressed = header.compressed,
                            .size = header.size,
                            .crc = static_cast<uint32_t>(header.crc)});
  extents_.push_back({header.offset, extent.end});
  at += 46 + name + extra + comment;
}

/// Replaces what does not fit in 32 bits by the numbers of the zip64 field.
void ZipDirectory::apply_zip64(Header& header, std::span<const std::byte> extra,
                               bool central) const {
  bool found = false;
  while (extra.size() >= 4) {
    const uint64_t id = number(extra, 0, 2), length = number(extra, 2, 2);
    if (length > extra.size() - 4)
      fail("E1603", "an extra field of the zip container leaves its header", header.offset);
    std::span<const std::byte> data = extra.subspan(4, length);
    extra = extra.subspan(4 + length);
    if (id != 1) continue;
    if (std::exchange(found, true))
      fail("E1603", "an entry of the zip container has two zip64 fields", header.offset);
    for (uint64_t* value : {&header.size, &header.compressed, &header.offset}) {
      if (*value != kFull32 || (value == &header.offset && !central)) continue;
      if (data.size() < 8) fail("E1603", "a zip64 field is too short", header.offset);
      *value = number(data, 0, 8);
      data = data.subspan(8);
    }
  }
}

void ZipDirectory::check_header(const Header& header) const {
  const auto refuse = [&](const char* code, const char* cause) {
    fail(code, cat("entry '", printable(header.name), "' of the zip container ", cause),
         header.offset);
  };
  if (header.flags & 1) refuse("E1606", "is encrypted");
  if (header.flags & ~kKnownFlags) refuse("E1606", "uses features that are not read");
  if (header.method != 0 && header.method != 8)
    refuse("E1606", "is compressed by a method other than deflate");
  if (header.method == 0 && header.compressed != header.size)
    refuse("E1601", "is stored, but has two sizes");
}

void ZipDirectory::check_name(const std::string& name) {
  const auto refuse = [&](const char* cause) {
    throw ModelError("E1604", cat("the zip container has an entry name that ", cause),
                     {.where = printable(zip_->file().path()),
                      .found = cat("found '", printable(name), "'"),
                      .help = "do not trust this file; save it again where it comes from"});
  };
  if (name.empty()) refuse("is empty");
  if (name.find('\0') != name.npos || name.find('\\') != name.npos)
    refuse("has a NUL byte or a backslash");
  const bool drive =
      name.size() > 1 && name[1] == ':' && std::isalpha(static_cast<unsigned char>(name[0]));
  if (!rules_.value_names && (name[0] == '/' || drive)) refuse("is absolute");
  if (("/" + name + "/").find("/../") != std::string::npos) refuse("climbs with '..'");
  std::string folded = name;
  for (char& c : folded) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  const bool twice =
      rules_.value_names ? zip_->index_.contains(name) : !folded_names_.insert(folded).second;
  if (twice) refuse("is given twice");
}

/// The local header must say the same; returns where the data begins and where the entry ends.
Extent ZipDirectory::check_local(const Header& central) {
  const auto inside = [&](uint64_t at, uint64_t count) {
    return at <= directory_offset_ && count <= directory_offset_ - at;
  };
  if (!inside(central.offset, 30))
    fail("E1601", cat("entry '", printable(central.name), "' leaves the zip container"),
         central.offset);
  const std::vector<std::byte> head = bytes_at(central.offset, 30);
  const uint64_t name = number(head, 26, 2), extra = number(head, 28, 2),
                 data = central.offset + 30 + name + extra;
  if (!inside(central.offset, 30 + name + extra) || !inside(data, central.compressed)) {
    fail("E1601", cat("entry '", printable(central.name), "' leaves the zip container"),
         central.offset);
  }
  const std::vector<std::byte> rest = bytes_at(central.offset + 30, name + extra);
  Header local{static_cast<uint16_t>(number(head, 6, 2)),
               static_cast<uint16_t>(number(head, 8, 2)),
               number(head, 14, 4),
               number(head, 18, 4),
               number(head, 22, 4),
               central.offset,
               std::string(reinterpret_cast<const char*>(rest.data()), name)};
  apply_zip64(local, std::span(rest).subspan(name), false);
  const bool behind = central.flags & kSizesBehind;
  const auto agree = [&](uint64_t a, uint64_t b) { return a == b || (behind && a == 0); };
  const bool same = number(head, 0, 4) == kLocal && local.name == central.name &&
                    local.method == central.method && local.flags == central.flags &&
                    agree(local.crc, central.crc) && agree(local.compressed, central.compressed) &&
                    agree(local.size, central.size);
  if (!same)
    fail("E1603", cat("the two headers of entry '", printable(central.name), "' disagree"),
         central.offset);
  const uint64_t end = data + central.compressed;
  return {data, behind ? check_descriptor(central, end) : end};
}

/// The descriptor behind the data, with or without signature, with 4-byte or 8-byte sizes; returns
/// its end.
uint64_t ZipDirectory::check_descriptor(const Header& central, uint64_t at) {
  const std::vector<std::byte> bytes = bytes_at(at, std::min<uint64_t>(24, directory_offset_ - at));
  for (const size_t start : {size_t{4}, size_t{0}}) {
    if (start == 4 && (bytes.size() < 4 || number(bytes, 0, 4) != kDescriptor)) continue;
    for (const int width : {8, 4}) {
      const size_t length = start + 4 + 2 * static_cast<size_t>(width);
      if (bytes.size() < length) continue;
      const bool same =
          number(bytes, start, 4) == central.crc &&
          number(bytes, start + 4, width) == central.compressed &&
          number(bytes, start + 4 + static_cast<size_t>(width), width) == central.size;
      if (same) return at + length;
    }
  }
  fail(
      "E1603",
      cat("the data descriptor of entry '", printable(central.name), "' disagrees with its header"),
      at);
}

void ZipDirectory::check_extents() {
  std::sort(extents_.begin(), extents_.end(),
            [](const Extent& a, const Extent& b) { return a.begin < b.begin; });
  uint64_t end = 0;
  for (const Extent& extent : extents_) {
    if (extent.begin < end) fail("E1601", "two entries of the zip container overlap", extent.begin);
    if (extent.begin > end && !rules_.gaps)
      fail("E1605", "bytes of the zip container belong to no entry", end);
    end = extent.end;
  }
  if (end != directory_offset_ && !rules_.gaps)
    fail("E1605", "bytes of the zip container belong to no entry", end);
}

std::vector<std::byte> ZipDirectory::bytes_at(uint64_t offset, uint64_t count) const {
  std::vector<std::byte> bytes(count);
  zip_->file().read_at(offset, bytes);
  return bytes;
}

void ZipDirectory::fail(const char* code, const std::string& cause, uint64_t at,
                        const std::string& found) const {
  throw ModelError(
      code, cause,
      {.where = cat(printable(zip_->file().path()), ", byte ", at),
       .found = found,
       .help =
           "the file is cut off or damaged: copy it again, or save it again where it comes from"});
}

std::shared_ptr<const ZipFile> ZipFile::open(const std::string& path, const Limits& limits,
                                             const ZipRules& rules) {
  return ZipDirectory(path, limits, rules).read();
}

const ZipEntry* ZipFile::find(const std::string& name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &entries_[found->second];
}

void ZipFile::read_stored(const ZipEntry& entry, uint64_t offset, std::span<std::byte> out) const {
  const bool inside = !entry.deflated && offset <= entry.size && out.size() <= entry.size - offset;
  if (!inside) throw InternalError("a range outside a zip entry was asked for");
  file_.read_at(entry.offset + offset, out);
}

std::string ZipFile::read_all(const ZipEntry& entry, uint64_t most, const Limits& limits) const {
  const uint64_t slack = uint64_t{64} << 10;  // small files may well be all zeros
  const bool bomb =
      entry.deflated && entry.size > slack && entry.size / limits.inflate_ratio > entry.compressed;
  if (entry.size > most || bomb) {
    throw ModelError(
        "E1602",
        cat("entry '", printable(entry.name), "' of the zip container inflates beyond the limit"),
        {.where = printable(file_.path()),
         .found = cat(entry.size, " bytes from ", entry.compressed, "; at most ", most,
                      " bytes and ", limits.inflate_ratio, " times are read"),
         .help = "do not trust this file; if it is yours, raise the limit with `--limit`"});
  }
  std::string bytes(entry.size, '\0');
  ZipStream stream(file_, entry);
  stream.read(std::as_writable_bytes(std::span(bytes)));
  return bytes;
}

void ZipFile::verify(const ZipEntry& entry) const {
  ZipStream stream(file_, entry);
  stream.skip(entry.size);
}

}  // namespace niwaki
