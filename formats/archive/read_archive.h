#pragma once

#include "formats/archive/unpack.h"
#include "formats/format.h"

namespace niwaki::archive {

/// True for an archive, by its first bytes.
bool is_archive(std::span<const std::byte> bytes);
/// Reads the model in an archive; nothing is written to the disk. Errors carry the path.
Model read_archive(const std::string& path, const ReadOptions& options);
Unpacked unpack_file(const std::string& path, const Limits& limits);

/// A model as a file that other programs can open: itself, or what an archive holds, in a private folder that goes with this object.
class RunnableModel {
 public:
  RunnableModel(const std::string& path, const ReadOptions& options);
  RunnableModel(const RunnableModel&) = delete;
  RunnableModel& operator=(const RunnableModel&) = delete;
  ~RunnableModel();
  const std::string& path() const { return path_; }

 private:
  std::string path_, folder_;
};

}  // namespace niwaki::archive
