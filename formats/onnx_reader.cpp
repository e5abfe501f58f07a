#include "formats/onnx_reader.h"

#include "compress/digest.h"
#include "compress/error.h"
#include "compress/mapped_file.h"
#include "compress/onnx/check_structure.h"
#include "compress/onnx/proto.h"
#include "formats/onnx_external_data.h"
#include "formats/onnx_vet.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <onnx/onnx_pb.h>

#include <limits>

namespace niwaki {
namespace {

onnx::ModelProto parse(std::span<const std::byte> bytes) {
  google::protobuf::io::ArrayInputStream stream(bytes.data(), static_cast<int>(bytes.size()));
  google::protobuf::io::CodedInputStream input(&stream);
  input.SetTotalBytesLimit(std::numeric_limits<int>::max());
  onnx::ModelProto model;
  if (!model.ParseFromCodedStream(&input) || !input.ConsumedEntireMessage()) {
    throw ModelError("E1001", "the file is no complete ONNX message");
  }
  return model;
}

}  // namespace

Model read_onnx(const std::string& path, const ReadOptions& options) {
  try {
    const auto file = MappedFile::open(path);
    vet_onnx(file->bytes(), options.limits, path);
    Model model{.path = path, .sha256 = sha256(file->bytes()), .format = "onnx"};
    ExternalData external(path, {.allow_symlinks = options.allow_symlinks, .allow_hardlinks = options.allow_hardlinks});
    model.graph = graph_from_proto(parse(file->bytes()),
                                   [&](const onnx::TensorProto& tensor, DType, int64_t bytes) { return external.read(tensor, bytes); },
                                   &model.notes);
    check_structure(model.graph, &model.notes);
    file->require_unchanged();
    model.external_files = external.files();
    model.file_bytes = static_cast<int64_t>(file->bytes().size()) + external.file_bytes();
    return model;
  } catch (Error& error) {
    if (error.details().where.rfind(path, 0) != 0) error.within(path);
    throw;
  }
}

Graph read_onnx_bytes(std::span<const std::byte> bytes, const ReadOptions& options, Strings* notes, ExternalData* external) {
  vet_onnx(bytes, options.limits, "model");
  ExternalTensor read;
  if (external) read = [external](const onnx::TensorProto& tensor, DType, int64_t size) { return external->read(tensor, size); };
  Graph graph = graph_from_proto(parse(bytes), read, notes);
  check_structure(graph, notes);
  return graph;
}

}  // namespace niwaki
