#include "formats/format.h"

#include "compress/error.h"
#include "compress/mapped_file.h"
#include "formats/archive/read_archive.h"
#include "formats/onnx_reader.h"
#include "formats/torch_sniff.h"

namespace niwaki {
namespace {

bool is_zip(std::span<const std::byte> bytes) { return bytes.size() >= 4 && std::memcmp(bytes.data(), "PK\3\4", 4) == 0; }

}  // namespace

Model read_model(const std::string& path, const ReadOptions& options) {
  {
    const auto file = MappedFile::open(path);
    if (is_zip(file->bytes())) refuse_torch_file(path, options.limits);
    if (archive::is_archive(file->bytes())) return archive::read_archive(path, options);
  }
  return read_onnx(path, options);
}

}  // namespace niwaki
