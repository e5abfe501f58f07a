#pragma once

#include <unistd.h>
#include <zlib.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "compress/error.h"

namespace niwaki::zip_bytes {

inline std::string little(uint64_t value, int width) {
  std::string text;
  for (int i = 0; i < width; ++i) text += static_cast<char>(i < 8 ? value >> (8 * i) : 0);
  return text;
}

/// One entry as a writer of containers would put it; tests change what they want to be wrong.
struct Entry {
  std::string name, data;
  bool deflate = false, descriptor = false;
  uint16_t flags = 0;
  std::function<void(std::string&)> change_local = {}, change_central = {}, change_payload = {};
};

inline std::string deflated(const std::string& data) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
  std::string out(compressBound(data.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
  stream.avail_in = static_cast<uInt>(data.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  ::deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

inline std::string container(const std::vector<Entry>& entries) {
  std::string file, directory;
  for (const Entry& entry : entries) {
    const auto crc = ::crc32(0, reinterpret_cast<const Bytef*>(entry.data.data()),
                             static_cast<uInt>(entry.data.size()));
    std::string payload = entry.deflate ? deflated(entry.data) : entry.data;
    const std::string sizes = little(payload.size(), 4) + little(entry.data.size(), 4);
    const std::string head = little(entry.flags | (entry.descriptor ? 8 : 0), 2) +
                             little(entry.deflate ? 8 : 0, 2) + little(0, 4);
    const std::string blank(12, '\0');
    std::string local = "PK\3\4" + little(20, 2) + head +
                        (entry.descriptor ? blank : little(crc, 4) + sizes) +
                        little(entry.name.size(), 2) + little(0, 2) + entry.name;
    std::string central = "PK\1\2" + little(20, 2) + little(20, 2) + head + little(crc, 4) + sizes +
                          little(entry.name.size(), 2) + little(0, 12) + little(file.size(), 4) +
                          entry.name;
    if (entry.change_local) entry.change_local(local);
    if (entry.change_central) entry.change_central(central);
    if (entry.change_payload) entry.change_payload(payload);
    file += local + payload;
    if (entry.descriptor) file += "PK\7\10" + little(crc, 4) + sizes;
    directory += central;
  }
  return file + directory + "PK\5\6" + little(0, 4) + little(entries.size(), 2) +
         little(entries.size(), 2) + little(directory.size(), 4) + little(file.size(), 4) +
         little(0, 2);
}

/// A folder that goes with the test.
class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "niwaki_formats_XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string at(const std::string& name) const { return (path_ / name).string(); }
  std::string put(const std::string& name, const std::string& bytes) const {
    std::filesystem::remove(at(name));  // truncating in place may wait for the disk
    std::ofstream(at(name), std::ios::binary) << bytes;
    return at(name);
  }

 private:
  std::filesystem::path path_;
};

inline std::string code_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    return error.code();
  }
  return "accepted";
}

}  // namespace niwaki::zip_bytes
