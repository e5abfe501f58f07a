#include "formats/torch_sniff.h"

#include <algorithm>
#include <cstring>
#include <string_view>
#include <vector>

#include "compress/error.h"
#include "compress/mapped_file.h"
#include "formats/pickle_scan.h"
#include "formats/zip.h"

namespace niwaki {
namespace {

constexpr std::string_view kLegacyStart = "\x80\2\x8a\x0al\xfc\x9c\x46";
constexpr int kLegacyPickles = 4;  // magic number, protocol, system, then the object
constexpr const char* kExportLine =
    "      torch.onnx.export(model.eval(), (example,), \"model.onnx\")";

[[noreturn]] void refuse_module(const PickleGlobal& global, const std::string& path,
                                const std::string& where) {
  throw ModelError("E1501",
                   cat("this ", path.ends_with(".pt2") ? ".pt2" : ".pt",
                       " file is a pickled Python module (it refers to '",
                       printable(global.module + "." + global.name), "'), not TorchScript"),
                   {.where = cat(where, ", byte ", global.offset),
                    .help = cat("opening it would run code from the file. If you trust it, load it "
                                "in Python as `model`, then\n",
                                kExportLine)});
}

[[noreturn]] void refuse_state_dict(const std::string& path) {
  throw ModelError(
      "E1502", "this file holds weights without a model (a PyTorch state dict)",
      {.where = printable(path),
       .help = cat("build the model in Python, put the weights in, and export it:\n"
                   "      model.load_state_dict(torch.load(path, weights_only=True))\n",
                   kExportLine)});
}

[[noreturn]] void refuse_program(const std::string& what, const std::string& path,
                                 const std::string& lines) {
  throw UnsupportedError("E3201", cat(what, " is not read yet: export it to ONNX"),
                         {.where = printable(path), .help = "in Python:\n" + lines});
}

/// Throws E1501 for the first global that plain tensors do not need.
void require_tensors_only(const std::vector<PickleGlobal>& globals, const std::string& path,
                          const std::string& where) {
  const auto foreign = std::find_if_not(globals.begin(), globals.end(), is_tensor_global);
  if (foreign != globals.end()) refuse_module(*foreign, path, where);
}

[[noreturn]] void refuse_pickle(std::string_view bytes, const std::string& path,
                                const Limits& limits) {
  bytes = bytes.substr(0, limits.pickle_bytes);
  const std::string where = printable(path);
  const bool legacy = bytes.starts_with(kLegacyStart);
  size_t at = 0;
  for (int i = 0; i < (legacy ? kLegacyPickles : 1); ++i) {
    require_tensors_only(scan_pickle(bytes, at, limits, where), path, where);
  }
  if (legacy) refuse_state_dict(path);
  throw ModelError("E1006", "this is a Python pickle of data, not a model",
                   {.where = where, .help = "export the model to ONNX where it was trained"});
}

class Container {
 public:
  Container(const std::string& path, const Limits& limits)
      : path_(path), limits_(limits), zip_(ZipFile::open(path, limits)) {}

  [[noreturn]] void refuse() const {
    if (has_end("serialized_exported_program.json")) refuse_old_export("");
    const ZipEntry* data = find_end("/data.pkl");
    if (data != nullptr) check_pickle(*data);
    if (const ZipEntry* constants = find_end("/constants.pkl")) check_pickle(*constants);
    if (has_part("/code/")) {
      refuse_program("TorchScript", path_,
                     "      model = torch.jit.load(path)\n"
                     "      torch.onnx.export(model, (example,), \"model.onnx\", dynamo=False)");
    }
    if (data != nullptr) refuse_state_dict(path_);
    if (has_end("/archive_format")) refuse_export();
    throw ModelError("E1006", "this is a zip container that holds no model",
                     {.where = printable(path_),
                      .found = cat("its first entry is '", printable(zip_->entries()[0].name), "'"),
                      .help = "unpack it, then name the file inside"});
  }

 private:
  void check_pickle(const ZipEntry& entry) const {
    const std::string bytes = zip_->read_all(entry, limits_.pickle_bytes, limits_);
    const std::string where = cat(printable(path_), ", ", printable(entry.name));
    size_t at = 0;
    require_tensors_only(scan_pickle(bytes, at, limits_, where), path_, where);
  }

  [[noreturn]] void refuse_export() const {
    const bool nested = has_part("/data/weights/") && !has_end("_weights_config.json");
    if (nested) refuse_old_export(" (its weights are a pickle archive inside)");
    refuse_program("a torch.export archive (.pt2)", path_,
                   "      program = torch.export.load(path)\n"
                   "      torch.onnx.export(program, f=\"model.onnx\", dynamo=True)");
  }

  [[noreturn]] void refuse_old_export(const std::string& why) const {
    throw ModelError(
        "E1511", cat("this .pt2 file has a layout of older PyTorch versions", why),
        {.where = printable(path_),
         .help = "in Python, with the PyTorch version that wrote it:\n"
                 "      program = torch.export.load(path)\n"
                 "      torch.onnx.export(program.module(), (example,), \"model.onnx\")"});
  }

  const ZipEntry* find_end(std::string_view end) const {
    for (const ZipEntry& entry : zip_->entries()) {
      if (("/" + entry.name).ends_with(end)) return &entry;
    }
    return nullptr;
  }
  bool has_end(std::string_view end) const { return find_end(end) != nullptr; }
  bool has_part(std::string_view part) const {
    return std::any_of(zip_->entries().begin(), zip_->entries().end(), [&](const ZipEntry& entry) {
      return ("/" + entry.name).find(part) != std::string::npos;
    });
  }

  const std::string& path_;
  const Limits& limits_;
  std::shared_ptr<const ZipFile> zip_;
};

}  // namespace

void refuse_torch_file(const std::string& path, const Limits& limits) {
  const auto file = MappedFile::open(path);
  const std::string_view bytes(reinterpret_cast<const char*>(file->bytes().data()),
                               file->bytes().size());
  if (bytes.starts_with('\x80')) refuse_pickle(bytes, path, limits);
  Container(path, limits).refuse();
}

}  // namespace niwaki
