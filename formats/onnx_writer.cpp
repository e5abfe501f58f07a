#include "compress/atomic_file.h"
#include "compress/digest.h"
#include "compress/error.h"
#include "compress/onnx/proto.h"
#include "formats/format.h"

#include <onnx/onnx_pb.h>

#include <unistd.h>

#include <cstdio>

namespace niwaki {
namespace {

constexpr int64_t kInlineBytes = int64_t{3} << 29;   // 1.5 GiB: protobuf's own limit is 2 GiB
constexpr int64_t kLeastExternal = 1024;             // smaller constants stay in the message
constexpr uint64_t kAlignment = 4096;                // of each tensor in the data file, for mapping

uint64_t aligned(uint64_t offset) { return (offset + kAlignment - 1) / kAlignment * kAlignment; }

struct Range {
  uint64_t offset = 0, bytes = 0;
};

struct Layout {
  std::map<ValueId, Range> ranges;
  std::vector<ValueId> order;
  uint64_t total = 0;
};

Layout plan_external(const Graph& graph) {
  Layout layout;
  for (size_t i = 1; i < graph.num_values(); ++i) {
    const auto id = static_cast<ValueId>(i);
    const Constant* constant = graph.constant(id);
    if (!constant || constant->strings || constant->sparse || byte_size(*constant) <= kLeastExternal) continue;
    const uint64_t offset = aligned(layout.total), bytes = static_cast<uint64_t>(byte_size(*constant));
    layout.ranges[id] = {offset, bytes};
    layout.order.push_back(id);
    layout.total = offset + bytes;
  }
  return layout;
}

/// Feeds the data file's bytes, gaps as zeros, to `sink`.
template <typename Sink>
void stream(const Graph& graph, const Layout& layout, Sink&& sink) {
  const std::vector<std::byte> zeros(kAlignment);
  uint64_t at = 0;
  for (const ValueId id : layout.order) {
    const Range& range = layout.ranges.at(id);
    sink(std::span(zeros).first(range.offset - at));
    const Constant dense{.dtype = graph.constant(id)->dtype, .sizes = {}, .storage = graph.constant(id)->storage.contiguous()};
    sink(raw_bytes(dense));
    at = range.offset + range.bytes;
  }
}

std::string stem_of(const std::string& path) {
  const size_t slash = path.rfind('/'), dot = path.rfind('.');
  const bool has_suffix = dot != std::string::npos && (slash == std::string::npos || dot > slash + 1);
  return has_suffix ? path.substr(0, dot) : path;
}

std::string name_of_file(const std::string& path) { return path.substr(path.rfind('/') + 1); }

int64_t payload_bytes(const Graph& graph) {
  int64_t total = 0;
  for (size_t i = 1; i < graph.num_values(); ++i) {
    if (const Constant* constant = graph.constant(static_cast<ValueId>(i))) total += byte_size(*constant);
  }
  return total;
}

}  // namespace

struct StagedModel::Files {
  std::unique_ptr<AtomicFile> model;
  std::string data_path;
  bool is_committed = false;
  bool made_data = false;
};

StagedModel::StagedModel(const Graph& graph, const std::string& path, const WriteOptions& options)
    : files_(std::make_unique<Files>()) {
  using External = WriteOptions::ExternalData;
  const bool is_large = payload_bytes(graph) >= kInlineBytes;
  if (is_large && options.external_data == External::never) {
    throw UsageError("E1007", "the model is larger than one ONNX message may be", {.help = "use --external-data auto"});
  }
  ProtoOptions proto_options;
  const Layout layout = is_large || options.external_data == External::always ? plan_external(graph) : Layout{};
  std::string digest;
  if (!layout.order.empty()) {
    Sha256 hash;
    stream(graph, layout, [&](std::span<const std::byte> bytes) { hash.update(bytes); });
    digest = hash.hex();
    files_->data_path = cat(stem_of(path), ".", digest.substr(0, 8), ".data");
    const bool is_new = access(files_->data_path.c_str(), F_OK) != 0;   // else an earlier model may own the same content
    AtomicFile data(files_->data_path);
    stream(graph, layout, [&](std::span<const std::byte> bytes) { data.write(bytes); });
    data.commit();
    files_->made_data = is_new;
    proto_options.largest_inline = kLeastExternal;
    proto_options.left_behind = [&](ValueId id, const Constant&, onnx::TensorProto& tensor) {
      tensor.set_data_location(onnx::TensorProto::EXTERNAL);
      const auto add = [&](const char* key, const std::string& value) {
        auto& entry = *tensor.add_external_data();
        entry.set_key(key);
        entry.set_value(value);
      };
      add("location", name_of_file(files_->data_path));
      add("offset", std::to_string(layout.ranges.at(id).offset));
      add("length", std::to_string(layout.ranges.at(id).bytes));
    };
  }
  const std::string message = graph_to_proto(graph, proto_options).SerializeAsString();
  files_->model = std::make_unique<AtomicFile>(path);
  files_->model->write(message);
  files_->model->sync();
  written_ = {.path = path,
              .sha256 = sha256(std::as_bytes(std::span(message))),
              .file_bytes = static_cast<int64_t>(message.size() + layout.total),
              .data_path = files_->data_path};
}

StagedModel::StagedModel(StagedModel&&) noexcept = default;

StagedModel::~StagedModel() {
  if (files_ && files_->made_data && !files_->is_committed) std::remove(files_->data_path.c_str());
}

std::string StagedModel::path() const { return files_->model->path_of_part(); }

Written StagedModel::commit() {
  files_->model->commit();
  files_->is_committed = true;
  return written_;
}

}  // namespace niwaki
