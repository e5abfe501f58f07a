#include "formats/archive/read_archive.h"

#include "compress/atomic_file.h"
#include "compress/digest.h"
#include "compress/mapped_file.h"
#include "formats/onnx_external_data.h"
#include "formats/onnx_reader.h"

#include <stdlib.h>

#include <algorithm>
#include <filesystem>

namespace niwaki::archive {
namespace {

ByteView view_of(std::span<const std::byte> bytes) { return {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}; }

/// Rethrows with the path before what is known.
template <typename Work>
auto within(const std::string& path, Work&& work) {
  try {
    return work();
  } catch (Error& error) {
    if (error.details().where.rfind(path, 0) != 0) error.within(path);
    throw;
  }
}

}  // namespace

bool is_archive(std::span<const std::byte> bytes) { return is_archive(view_of(bytes)); }

Unpacked unpack_file(const std::string& path, const Limits& limits) {
  return within(path, [&] {
    const auto file = MappedFile::open(path);
    Unpacked unpacked = unpack_bytes(view_of(file->bytes()), limits);
    file->require_unchanged();
    return unpacked;
  });
}

Model read_archive(const std::string& path, const ReadOptions& options) {
  return within(path, [&] {
    const auto file = MappedFile::open(path);
    Model model{.path = path, .sha256 = sha256(file->bytes()), .format = "niwaki", .file_bytes = static_cast<int64_t>(file->bytes().size())};
    const auto unpacked = std::make_shared<Unpacked>(unpack_bytes(view_of(file->bytes()), options.limits));
    ExternalData external;
    for (size_t i = 0; i < unpacked->side_files.size(); ++i) external.provide(unpacked->side_files[i].name, unpacked, unpacked->side_file(i));
    model.graph = read_onnx_bytes(unpacked->model(), options, &model.notes, &external);
    file->require_unchanged();
    return model;
  });
}

RunnableModel::RunnableModel(const std::string& path, const ReadOptions& options) : path_(path) {
  if (!is_archive(MappedFile::open(path)->bytes())) return;
  const Unpacked unpacked = unpack_file(path, options.limits);
  folder_ = (std::filesystem::temp_directory_path() / "niwaki-XXXXXX").string();
  if (::mkdtemp(folder_.data()) == nullptr) throw EnvironmentError("E4003", "cannot make a temporary folder", {.help = "set TMPDIR to a folder that can be written"});
  try {
    for (size_t i = 0; i < unpacked.side_files.size(); ++i) write_file(folder_ + "/" + unpacked.side_files[i].name, unpacked.side_file(i));
    std::string name = "model.onnx";
    while (std::ranges::any_of(unpacked.side_files, [&](const SideFile& file) { return file.name == name; })) name.insert(0, 1, '_');
    path_ = folder_ + "/" + name;
    write_file(path_, unpacked.model());
  } catch (...) {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
    throw;
  }
}

RunnableModel::~RunnableModel() {
  std::error_code ignored;
  if (!folder_.empty()) std::filesystem::remove_all(folder_, ignored);
}

}  // namespace niwaki::archive
