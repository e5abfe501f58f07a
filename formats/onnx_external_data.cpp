#include "formats/onnx_external_data.h"

#include "compress/digest.h"
#include "compress/error.h"
#include "compress/mapped_file.h"
#include "formats/external_path.h"

#include <onnx/onnx_pb.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <optional>

namespace niwaki {
namespace {

struct Place {
  std::string location, checksum;
  uint64_t offset = 0;
  std::optional<uint64_t> length;
};

uint64_t number(const std::string& key, const std::string& text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) {
    throw ModelError("E1209", cat("external data has '", printable(text, 40), "' as ", key, "; needed a whole number"));
  }
  return value;
}

Place place_of(const onnx::TensorProto& tensor) {
  Place place;
  std::map<std::string, int> seen;
  for (const auto& entry : tensor.external_data()) {
    if (++seen[entry.key()] > 1) throw ModelError("E1209", cat("external data gives '", printable(entry.key()), "' twice"));
    if (entry.key() == "location") place.location = entry.value();
    else if (entry.key() == "offset") place.offset = number("offset", entry.value());
    else if (entry.key() == "length") place.length = number("length", entry.value());
    else if (entry.key() == "checksum") place.checksum = entry.value();
    else if (entry.key() != "basepath") throw ModelError("E1209", cat("external data has the unknown key '", printable(entry.key()), "'"));
  }
  return place;
}

}  // namespace

ExternalData::ExternalData(std::string model_path, ExternalDataOptions options)
    : model_path_(std::move(model_path)), options_(options), reads_disk_(true) {}

void ExternalData::provide(const std::string& location, std::shared_ptr<const void> owner, std::span<const std::byte> bytes) {
  files_[location] = {std::move(owner), bytes};
}

const ExternalData::File& ExternalData::open(const std::string& location) {
  if (const auto known = files_.find(location); known != files_.end()) return known->second;
  if (!reads_disk_) throw ModelError("E1208", cat("external data file '", printable(location), "' is not in the archive"), {.help = "pack the model again"});
  const int descriptor = open_external(model_path_, location, {.allow_symlinks = options_.allow_symlinks, .allow_hardlinks = options_.allow_hardlinks});
  const size_t slash = model_path_.rfind('/');
  const auto file = MappedFile::from_descriptor(descriptor, (slash == std::string::npos ? "" : model_path_.substr(0, slash + 1)) + location);
  return files_[location] = {file, file->bytes()};
}

void ExternalData::require_checksum(const std::string& location, const File& file, const std::string& checksum) {
  std::string& known = checksums_[location];
  if (known.empty()) known = sha1(file.bytes);
  std::string wanted = checksum;
  std::transform(wanted.begin(), wanted.end(), wanted.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (wanted == known) return;
  throw ModelError("E1207", cat("external data file '", printable(location), "' is not the one that the model was written with"),
                   {.found = cat("sha1 ", known, "; needed ", printable(checksum, 60)), .help = "copy the model and its data file again, together"});
}

Tensor ExternalData::read(const onnx::TensorProto& tensor, int64_t bytes) {
  const Place place = place_of(tensor);
  const File& file = open(place.location);
  if (!place.checksum.empty()) require_checksum(place.location, file, place.checksum);
  const uint64_t size = file.bytes.size(), needed = static_cast<uint64_t>(bytes);
  if (place.length && *place.length != needed) {
    throw ModelError("E1205", cat("external data is ", *place.length, " bytes long; the shape asks for ", needed));
  }
  if (place.offset > size || needed > size - place.offset) {
    throw ModelError("E1204", cat("external data reaches beyond '", printable(place.location), "'"),
                     {.found = cat("bytes ", place.offset, " to ", place.offset + needed, " of ", size)});
  }
  const auto payload = file.bytes.subspan(place.offset, needed);
  auto owner = file.owner;
  return at::from_blob(const_cast<std::byte*>(payload.data()), {bytes}, [owner](void*) {}, at::kByte);
}

std::vector<std::string> ExternalData::files() const {
  std::vector<std::string> names;
  for (const auto& [name, file] : files_) names.push_back(name);
  return names;
}

int64_t ExternalData::file_bytes() const {
  int64_t total = 0;
  for (const auto& [name, file] : files_) total += static_cast<int64_t>(file.bytes.size());
  return total;
}

}  // namespace niwaki
