#include "bindings/bind.h"
#include "compress/atomic_file.h"
#include "compress/digest.h"
#include "formats/archive/pack.h"
#include "formats/archive/unpack_files.h"

#include <pybind11/stl.h>

namespace py = pybind11;

namespace niwaki {
namespace {

/// (path, SHA-256, bytes)
py::tuple pack(const std::string& model, const std::string& output, const std::string& codec, bool force) {
  const archive::Codec kind = archive::codec_named(codec);
  require_writable_output(output, {model}, force, false);
  const auto packed = interruptible([=] {
    auto made = archive::pack_model(model, {.codec = kind});
    write_file(output, std::as_bytes(std::span(made.archive)));
    return made;
  });
  return py::make_tuple(output, sha256(std::as_bytes(std::span(packed.archive))), packed.archive.size());
}

/// (path, bytes, data files)
py::tuple unpack(const std::string& path, const std::string& output, bool force) {
  require_writable_output(output, {path}, force, false);
  const auto written = interruptible([=] { return archive::unpack_files(path, output, {}, force); });
  return py::make_tuple(output, written.model_bytes, written.data_paths);
}

}  // namespace

void bind_archive(py::module_& module) {
  module.def("pack", &pack, py::arg("model"), py::arg("output"), py::arg("codec"), py::arg("force"));
  module.def("unpack", &unpack, py::arg("archive"), py::arg("output"), py::arg("force"));
}

}  // namespace niwaki
