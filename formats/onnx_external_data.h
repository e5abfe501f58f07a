#pragma once

#include "compress/tensor.h"

#include <cstddef>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace onnx {
class TensorProto;
}

namespace niwaki {

struct ExternalDataOptions {
  bool allow_symlinks = false, allow_hardlinks = false;
};

/// The files beside a model that hold its large tensors: opened once each under the path policy, mapped, read on use.
class ExternalData {
 public:
  ExternalData(std::string model_path, ExternalDataOptions options);
  /// Of a model that is no file: what was provided, and nothing from the disk.
  ExternalData() = default;
  /// Stands for the file `location`; `owner` keeps the bytes.
  void provide(const std::string& location, std::shared_ptr<const void> owner, std::span<const std::byte> bytes);
  /// A view of uint8 [bytes] that keeps its file mapped; E1201 to E1209 and E1303 (safety.md 4.3 and 5).
  Tensor read(const onnx::TensorProto& tensor, int64_t bytes);
  std::vector<std::string> files() const;
  int64_t file_bytes() const;

 private:
  struct File {
    std::shared_ptr<const void> owner;
    std::span<const std::byte> bytes;
  };
  const File& open(const std::string& location);
  void require_checksum(const std::string& location, const File& file, const std::string& checksum);
  std::string model_path_;
  ExternalDataOptions options_;
  std::map<std::string, File> files_;
  bool reads_disk_ = false;
  std::map<std::string, std::string> checksums_;   // of the files that somebody asked about
};

}  // namespace niwaki
