#include "formats/format.h"

#include "compress/error.h"
#include "compress/mapped_file.h"
#include "formats/onnx_reader.h"
#include "formats/torch_sniff.h"

namespace niwaki {
namespace {

bool is_zip(const std::string& path) {
  const auto file = MappedFile::open(path);
  const auto bytes = file->bytes();
  return bytes.size() >= 4 && std::memcmp(bytes.data(), "PK\3\4", 4) == 0;
}

}  // namespace

Model read_model(const std::string& path, const ReadOptions& options) {
  if (is_zip(path)) refuse_torch_file(path, options.limits);
  return read_onnx(path, options);
}

}  // namespace niwaki
