#include "formats/archive/unpack_files.h"

#include "compress/atomic_file.h"
#include "compress/error.h"
#include "formats/archive/read_archive.h"

namespace niwaki::archive {
namespace {

std::string folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash + 1);
}

}  // namespace

WrittenFiles unpack_files(const std::string& archive, const std::string& output, const Limits& limits, bool force) {
  const Unpacked unpacked = unpack_file(archive, limits);
  WrittenFiles written{.model_bytes = unpacked.model_bytes};
  for (const SideFile& file : unpacked.side_files) {
    const std::string path = folder_of(output) + file.name;
    if (path == output) throw UsageError("E2010", cat("the model's data file is named '", printable(file.name), "' too"), {.help = "choose another name for -o"});
    require_writable_output(path, {archive}, force, false);
    written.data_paths.push_back(path);
  }
  // data first: whoever finds the model finds them too
  for (size_t i = 0; i < unpacked.side_files.size(); ++i) write_file(written.data_paths[i], unpacked.side_file(i));
  write_file(output, unpacked.model());
  return written;
}

}  // namespace niwaki::archive
