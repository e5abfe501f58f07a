#pragma once

#include "compress/tensor.h"

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace onnx {
class TensorProto;
}

namespace niwaki {

class MappedFile;

struct ExternalDataOptions {
  bool allow_symlinks = false, allow_hardlinks = false;
};

/// The files beside a model that hold its large tensors: opened once each under the path policy, mapped, read on use.
class ExternalData {
 public:
  ExternalData(std::string model_path, ExternalDataOptions options);
  /// A view of uint8 [bytes] that keeps its file mapped; E1201 to E1209 and E1303 (safety.md 4.3 and 5).
  Tensor read(const onnx::TensorProto& tensor, int64_t bytes);
  std::vector<std::string> files() const;
  int64_t file_bytes() const;

 private:
  std::shared_ptr<const MappedFile> open(const std::string& location);
  void require_checksum(const std::string& location, const MappedFile& file, const std::string& checksum);
  std::string model_path_;
  ExternalDataOptions options_;
  std::map<std::string, std::shared_ptr<const MappedFile>> files_;
  std::map<std::string, std::string> checksums_;   // of the files that somebody asked about
};

}  // namespace niwaki
