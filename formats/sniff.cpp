#include "formats/sniff.h"

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <string_view>

#include "compress/error.h"

namespace niwaki {
namespace {

using namespace std::string_view_literals;

struct Signature {
  size_t offset;
  std::string_view bytes;
  const char* what;
  const char* help;
};

constexpr const char* kExportHelp =
    "load it in Python as `model`, then `torch.onnx.export(model.eval(), (example,), "
    "\"model.onnx\")`";
constexpr Signature kSignatures[] = {
    {4, "ORTM"sv, "an ONNX Runtime model (.ort)",
     "this format is made from an ONNX model and cannot be turned back: use the .onnx file it was "
     "made from"},
    {4, "TFL3"sv, "a TensorFlow Lite model",
     "convert it first: `python -m tf2onnx.convert --tflite model.tflite --output model.onnx`"},
    {0, "GGUF"sv, "a GGUF file",
     "export the model it was made from to ONNX, for example with `optimum-cli export onnx`"},
    {0, "PK\3\4"sv, "a zip container such as PyTorch saves", kExportHelp},
    {0, "\x80\2\x8a\x0al\xfc\x9c\x46"sv, "a PyTorch state dict of the legacy form", kExportHelp},
    {0, "\x80\2"sv, "a Python pickle",
     "opening it would run code from the file; export the model to ONNX where it was trained"},
    {0, "\x80\3"sv, "a Python pickle",
     "opening it would run code from the file; export the model to ONNX where it was trained"},
    {0, "\x80\4"sv, "a Python pickle",
     "opening it would run code from the file; export the model to ONNX where it was trained"},
    {0, "\x80\5"sv, "a Python pickle",
     "opening it would run code from the file; export the model to ONNX where it was trained"},
    {0, "\x1f\x8b"sv, "a gzip file", "unpack it with `gunzip`, then name the file inside"},
    {0, "\x28\xb5\x2f\xfd"sv, "a zstd file", "unpack it with `unzstd`, then name the file inside"},
    {0,
     "\xfd"
     "7zXZ"sv,
     "an xz file", "unpack it with `unxz`, then name the file inside"},
    {0, "BZh"sv, "a bzip2 file", "unpack it with `bunzip2`, then name the file inside"},
    {0, "7z\xbc\xaf"sv, "a 7z archive", "unpack it, then name the file inside"},
    {257, "ustar"sv, "a tar archive", "unpack it with `tar -xf`, then name the file inside"},
    {0, "\x89HDF\r\n"sv, "an HDF5 file such as Keras saves",
     "convert it first with tf2onnx: `tf2onnx.convert.from_keras`"},
    {0, "\x93NUMPY"sv, "a NumPy array", "name the model; arrays go to `--data` or `--calib`"},
    {0,
     "\x7f"
     "ELF"sv,
     "a program", "name the model file"},
};

std::string_view text_of(std::span<const std::byte> bytes, size_t most) {
  return {reinterpret_cast<const char*>(bytes.data()), std::min(bytes.size(), most)};
}

[[noreturn]] void refuse(const std::string& what, const std::string& name,
                         const std::string& help) {
  throw ModelError("E1006", cat("this is ", what, ", not an ONNX model"),
                   {.where = printable(name), .help = help});
}

bool starts_with_word(std::string_view text, std::string_view word) {
  return text.size() >= word.size() &&
         std::equal(word.begin(), word.end(), text.begin(), [](char a, char b) {
           return a == std::tolower(static_cast<unsigned char>(b));
         });
}

void refuse_lfs_pointer(std::string_view text, size_t bytes, const std::string& name) {
  if (!text.starts_with("version https://git-lfs.github.com/spec/")) return;
  std::string size;
  if (const size_t at = text.find("\nsize "); at != text.npos) {
    for (size_t i = at + 6; i < text.size() && text[i] >= '0' && text[i] <= '9'; ++i)
      size += text[i];
  }
  throw ModelError("E1006",
                   cat("this is a Git LFS pointer, not a model (", bytes, " bytes",
                       size.empty() ? "" : cat("; the model has ", size.substr(0, 20)), ")"),
                   {.where = printable(name), .help = "run `git lfs pull`, then try again"});
}

bool is_safetensors(std::span<const std::byte> bytes) {
  if (bytes.size() < 10 || text_of(bytes, 9)[8] != '{') return false;
  uint64_t length = 0;
  for (int i = 7; i >= 0; --i) length = length << 8 | std::to_integer<uint64_t>(bytes[i]);
  return length >= 2 && length <= bytes.size() - 8;
}

}  // namespace

bool is_torch_file(std::span<const std::byte> bytes) {
  const std::string_view head = text_of(bytes, 8);
  return head.starts_with("PK\3\4") ||
         (head.size() > 1 && head[0] == '\x80' && head[1] >= 2 && head[1] <= 5);
}

void refuse_foreign_file(std::span<const std::byte> bytes, const std::string& name) {
  const std::string_view head = text_of(bytes, 512);
  refuse_lfs_pointer(head, bytes.size(), name);
  for (const Signature& signature : kSignatures) {
    if (head.size() < signature.offset ||
        !head.substr(signature.offset).starts_with(signature.bytes))
      continue;
    refuse(signature.what, name, signature.help);
  }
  if (is_safetensors(bytes)) {
    refuse("a safetensors file: weights without a graph", name,
           "load the weights into the model in Python, then `torch.onnx.export(model.eval(), "
           "(example,), \"model.onnx\")`");
  }
}

void refuse_text_file(std::span<const std::byte> bytes, const std::string& name) {
  if (bytes.empty()) {
    throw ModelError("E1006", "the file is empty",
                     {.where = printable(name), .help = "copy or download it again"});
  }
  std::string_view head = text_of(bytes, 512);
  const bool is_text = std::all_of(head.begin(), head.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte >= 0x20 ? byte != 0x7f : byte == '\n' || byte == '\r' || byte == '\t';
  });
  if (!is_text) return;
  if (head.starts_with("\xef\xbb\xbf")) head.remove_prefix(3);
  while (!head.empty() && std::isspace(static_cast<unsigned char>(head.front())))
    head.remove_prefix(1);
  if (starts_with_word(head, "<!doctype html") || starts_with_word(head, "<html")) {
    refuse("an HTML page", name,
           "the download gave a web page instead of the file; use the link to the file itself");
  }
  if (head.starts_with("<?xml"))
    refuse("an XML file", name, "OpenVINO files (.xml, .bin) are made from a model: use that one");
  if (head.starts_with('{') || head.starts_with('['))
    refuse("a JSON file", name, "name the .onnx file");
  if (head.starts_with("ir_version:")) {
    refuse("an ONNX model in text form", name,
           "save it in the binary form: `onnx.save(onnx.load(path, format=\"textproto\"), "
           "\"model.onnx\")`");
  }
  throw ModelError("E1001", "the file is plain text, not an ONNX model",
                   {.where = printable(name),
                    .found = cat("it begins with '", printable(head.substr(0, 40)), "'"),
                    .help = "name the .onnx file"});
}

}  // namespace niwaki
