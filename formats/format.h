#pragma once

#include "compress/graph.h"
#include "formats/limits.h"

namespace niwaki {

struct ReadOptions {
  Limits limits;
  bool allow_symlinks = false, allow_hardlinks = false;
};

/// A model file as read.
struct Model {
  Graph graph;
  Strings notes;                             // warnings: "W1106: ..."
  std::string path, sha256, format;          // format: "onnx"
  int64_t file_bytes = 0;                    // with external data
  Strings external_files;
};

/// Reads a model of any known format, decided by its content. Errors carry the path.
Model read_model(const std::string& path, const ReadOptions& options = {});

struct WriteOptions {
  enum class ExternalData { automatic, always, never } external_data = ExternalData::automatic;
};
struct Written {
  std::string path, sha256;
  int64_t file_bytes = 0;                    // with external data
  std::string data_path;                     // of external data, or ""
};

/// A model that lies complete beside its target and takes its name on commit().
class StagedModel {
 public:
  /// Writes `.name.<pid>.<random>.part` beside `path`; external data, from 1.5 GiB on, takes its content's name first.
  StagedModel(const Graph& graph, const std::string& path, const WriteOptions& options = {});
  StagedModel(StagedModel&&) noexcept;
  ~StagedModel();                            // removes what was not committed
  /// Where the file can be read until commit().
  std::string path() const;
  const Written& written() const { return written_; }
  Written commit();

 private:
  struct Files;
  std::unique_ptr<Files> files_;
  Written written_;
};

}  // namespace niwaki
