#include "formats/onnx_vet.h"

#include <array>
#include <cstdint>
#include <limits>
#include <utility>

#include "compress/error.h"
#include "formats/onnx_fields.h"
#include "formats/sniff.h"

namespace niwaki {
namespace {

using onnx_fields::Field;
using onnx_fields::Kind;
using onnx_fields::Message;
using onnx_fields::Meter;

enum Wire : uint32_t { kVarint = 0, kFixed64 = 1, kLength = 2, kFixed32 = 5 };
constexpr const char* kWireNames[] = {"varint",    "fixed64", "length", "group start",
                                      "group end", "fixed32", "6",      "7"};
constexpr size_t kDeepest = 100;  // Protobuf's own limit, which no caller can see fail

/// A message that is being read.
struct Frame {
  const Message* message;
  size_t end;
  const Field* entry;  // by which field its parent holds it
  uint32_t index;      // and as which of several
  uint32_t seen;       // singular sub-messages; bit 0: one of a `one_of`
  std::array<uint32_t, onnx_fields::kLargestNumber + 1> count;  // of repeated sub-messages
};

uint32_t wire_of(Kind kind) {
  switch (kind) {
    case Kind::fixed32:
      return kFixed32;
    case Kind::fixed64:
      return kFixed64;
    case Kind::bytes:
    case Kind::message:
      return kLength;
    default:
      return kVarint;
  }
}

const Field* find_field(const Message& message, uint32_t number) {
  for (const Field& field : message.fields) {
    if (field.number == number) return &field;
  }
  return nullptr;
}

class Walk {
 public:
  Walk(std::span<const std::byte> bytes, const Limits& limits, const std::string& name)
      : bytes_(bytes), limits_(limits), name_(name) {}

  void run();

 private:
  Frame& top() { return frames_[depth_]; }
  void read_field();
  void read_known(const Field& field, uint32_t wire);
  void read_scalar(const Field& field);
  void read_packed(const Field& field, size_t end);
  void skip_unknown(uint32_t number, uint32_t wire);
  void enter(const Field& field, size_t end);
  void require_once(const Field& field);
  void meter(const Field& field, size_t length);
  void require_within(uint64_t value, uint64_t limit, const char* limit_name);
  void finish();
  uint64_t read_varint(size_t end);
  size_t read_length();
  void skip(size_t count);
  std::string path(const Field* last) const;
  [[noreturn]] void fail(const char* code, const std::string& cause, std::string found = {},
                         std::string help = {}) const;

  std::span<const std::byte> bytes_;
  const Limits& limits_;
  const std::string& name_;
  size_t at_ = 0, start_ = 0;  // of reading, and of the field that is being read
  const Field* field_ = nullptr;
  size_t depth_ = 0, graphs_ = 0, types_ = 0;
  std::array<uint64_t, 8> totals_{};  // by Meter
  uint64_t messages_ = 0, opsets_ = 0;
  uint64_t ir_version_ = 0;
  bool has_ir_version_ = false;
  std::array<Frame, kDeepest + 1> frames_;
};

void Walk::run() {
  frames_[0] = Frame{.message = &onnx_fields::model, .end = bytes_.size()};
  while (true) {
    while (at_ == top().end) {
      if (depth_ == 0) return finish();
      graphs_ -= top().message == &onnx_fields::graph;
      types_ -= top().message == &onnx_fields::type;
      --depth_;
    }
    read_field();
  }
}

void Walk::read_field() {
  start_ = at_;
  field_ = nullptr;
  const uint64_t tag = read_varint(top().end);
  const uint64_t number = tag >> 3;
  const uint32_t wire = tag & 7;
  if (tag > std::numeric_limits<uint32_t>::max() || number == 0) {
    fail("E1001", cat("the file is damaged: field number ", number, " does not exist"));
  }
  field_ = number <= onnx_fields::kLargestNumber
               ? find_field(*top().message, static_cast<uint32_t>(number))
               : nullptr;
  if (field_ == nullptr) return skip_unknown(static_cast<uint32_t>(number), wire);
  read_known(*field_, wire);
}

void Walk::read_known(const Field& field, uint32_t wire) {
  const uint32_t needed = wire_of(field.kind);
  const bool packed = field.repeated && needed != kLength && wire == kLength;
  if (wire != needed && !packed) {
    fail("E1001",
         cat("the file is damaged: field '", field.name, "' of ", top().message->name,
             " has the wrong wire type"),
         cat("found ", kWireNames[wire], "; needed ", kWireNames[needed]));
  }
  if (needed != kLength && !packed) return read_scalar(field);
  const size_t length = read_length();
  meter(field, length);
  if (packed) return read_packed(field, at_ + length);
  if (field.kind == Kind::message) return enter(field, at_ + length);
  at_ += length;
}

void Walk::read_scalar(const Field& field) {
  if (field.kind == Kind::fixed32) return skip(4);
  if (field.kind == Kind::fixed64) return skip(8);
  const uint64_t value = read_varint(top().end);
  if (field.kind == Kind::choice && value > field.last_choice) {
    fail("E1001",
         cat("field '", field.name, "' has the unknown value ", static_cast<int64_t>(value)),
         cat("needed 0 to ", int{field.last_choice}));
  }
  const auto number = static_cast<int64_t>(value);
  if (field.kind == Kind::varint32 && (number < std::numeric_limits<int32_t>::min() ||
                                       number > std::numeric_limits<uint32_t>::max())) {
    fail("E1001",
         cat("field '", field.name, "' holds ", number, ", which does not fit in 32 bits"));
  }
  if (depth_ == 0 && field.number == 1) {
    ir_version_ = value;
    has_ir_version_ = true;
  }
}

void Walk::read_packed(const Field& field, size_t end) {
  const size_t length = end - at_;
  const size_t width = field.kind == Kind::fixed32 ? 4 : field.kind == Kind::fixed64 ? 8 : 1;
  if (length % width != 0) {
    fail("E1001", cat("the file is damaged: field '", field.name, "' has ", length,
                      " bytes, not a multiple of ", width));
  }
  if (width > 1) {
    at_ = end;
    return;
  }
  Frame& frame = top();
  const size_t outer = std::exchange(frame.end, end);
  while (at_ < end) read_scalar(field);
  frame.end = outer;
}

void Walk::skip_unknown(uint32_t number, uint32_t wire) {
  switch (wire) {
    case kVarint:
      read_varint(top().end);
      return;
    case kFixed64:
      return skip(8);
    case kFixed32:
      return skip(4);
    case kLength:
      return skip(read_length());
    default:
      fail("E1001", cat("the file is damaged: unknown wire type"),
           cat("found ", kWireNames[wire], " in field ", number, " of ", top().message->name));
  }
}

void Walk::enter(const Field& field, size_t end) {
  require_once(field);
  require_within(++messages_, limits_.proto_messages, "proto_messages");
  graphs_ += field.message == &onnx_fields::graph;
  types_ += field.message == &onnx_fields::type;
  const bool too_deep =
      depth_ == kDeepest || graphs_ > limits_.graph_depth || types_ > limits_.type_depth;
  if (too_deep) {
    fail("E1003", "messages are nested too deeply",
         cat("found ", graphs_, " graphs, ", types_, " types and ", depth_ + 1,
             " messages inside each other; at most ", limits_.graph_depth, ", ", limits_.type_depth,
             " and ", kDeepest, " are read"),
         "`--limit graph_depth=N` and `--limit type_depth=N` change the first two");
  }
  if (depth_ == 0 && field.number == 8) ++opsets_;
  const uint32_t index = top().count[field.number]++;
  frames_[++depth_] = Frame{.message = field.message, .end = end, .entry = &field, .index = index};
}

void Walk::require_once(const Field& field) {
  if (field.repeated) return;
  const uint32_t bits = 1u << field.number | (field.one_of ? 1u : 0u);
  if (top().seen & bits) {
    fail("E1005", cat("field '", field.name, "' of ", top().message->name, " is given twice"),
         "readers would merge both or take one of them",
         "do not trust this file; export the model again");
  }
  top().seen |= bits;
}

void Walk::meter(const Field& field, size_t length) {
  uint64_t& total = totals_[static_cast<size_t>(field.meter)];
  const bool is_name =
      field.kind == Kind::bytes && (field.meter == Meter::name || field.meter == Meter::value);
  if (is_name) require_within(length, limits_.name_bytes, "name_bytes");
  switch (field.meter) {
    case Meter::none:
    case Meter::name:
      return;
    case Meter::node:
      return require_within(++total, limits_.nodes, "nodes");
    case Meter::constant:
      return require_within(++total, limits_.constants, "constants");
    case Meter::value:
      return require_within(++total, limits_.values, "values");
    case Meter::function:
      return require_within(++total, limits_.functions, "functions");
    case Meter::attribute:
      return require_within(length, limits_.attribute_bytes, "attribute_bytes");
    case Meter::metadata:
      return require_within(total += length, limits_.metadata_bytes, "metadata_bytes");
  }
}

void Walk::require_within(uint64_t value, uint64_t limit, const char* limit_name) {
  if (value <= limit) return;
  fail("E1004", cat("the model exceeds the limit '", limit_name, "'"),
       cat("found ", value, " or more; the limit is ", limit),
       cat("if you trust the file, add `--limit ", limit_name, "=N`"));
}

uint64_t Walk::read_varint(size_t end) {
  uint64_t value = 0;
  for (int shift = 0; shift < 70; shift += 7) {
    if (at_ == end) {
      fail("E1001",
           depth_ == 0 ? "the file is cut off"
                       : "the file is damaged: a number runs past the end of its message",
           {}, "copy or download the file again and compare its sha256");
    }
    const uint64_t byte = std::to_integer<uint64_t>(bytes_[at_++]);
    if (shift == 63 && byte > 1) break;
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
  fail("E1001", "the file is damaged: a number has more than 64 bits");
}

size_t Walk::read_length() {
  const uint64_t length = read_varint(top().end);
  const size_t left = top().end - at_;
  if (length <= left) return static_cast<size_t>(length);
  if (depth_ == 0) {
    fail("E1001", "the file is cut off", cat("needed ", length, " more bytes, found ", left),
         "copy or download the file again and compare its sha256");
  }
  fail("E1002", cat("the file is damaged: a field is longer than its ", top().message->name),
       cat("needed ", length, " bytes, found ", left));
}

void Walk::skip(size_t count) {
  if (top().end - at_ < count) {
    fail("E1001",
         depth_ == 0 ? "the file is cut off"
                     : "the file is damaged: a number runs past the end of its message",
         {}, "copy or download the file again and compare its sha256");
  }
  at_ += count;
}

void Walk::finish() {
  start_ = at_;
  field_ = nullptr;
  if (!(frames_[0].seen & 1u << 7))
    fail("E1008", "the model has no graph", {}, "export the model again");
  if (!has_ir_version_) fail("E1008", "the model has no ir_version", {}, "export the model again");
  if (ir_version_ < 1 || ir_version_ > static_cast<uint64_t>(kNewestIrVersion)) {
    fail("E1009", cat("the model's ir_version is ", static_cast<int64_t>(ir_version_)),
         cat("needed 1 to ", kNewestIrVersion),
         "export the model for an older ONNX version, or install a newer Niwaki");
  }
  if (ir_version_ >= 3 && opsets_ == 0) {
    fail("E1105", "the model imports no operator set", {},
         "export the model again; files since ir_version 3 must say theirs");
  }
}

std::string Walk::path(const Field* last) const {
  std::string text;
  for (size_t i = 1; i <= depth_; ++i) {
    text += cat(i > 1 ? "." : "", frames_[i].entry->name);
    if (frames_[i].entry->repeated) text += cat("[", frames_[i].index, "]");
  }
  return last ? cat(text, text.empty() ? "" : ".", last->name) : text;
}

void Walk::fail(const char* code, const std::string& cause, std::string found,
                std::string help) const {
  const std::string place = path(field_);
  throw ModelError(
      code, cause,
      {.where = cat(printable(name_), ", byte ", start_, place.empty() ? "" : ", " + place),
       .found = std::move(found),
       .help = help.empty()
                   ? "the file is not what was exported: copy it again, or export the model again"
                   : std::move(help)});
}

}  // namespace

void vet_onnx(std::span<const std::byte> bytes, const Limits& limits, const std::string& name) {
  refuse_foreign_file(bytes, name);
  if (bytes.size() > limits.onnx_message_bytes) {
    const bool protobuf_limit = bytes.size() >= uint64_t{1} << 31;
    throw ModelError(
        protobuf_limit ? "E1007" : "E1004",
        cat("the model file is too large to be read in one piece: ", bytes.size(), " bytes"),
        {.where = printable(name),
         .found = cat("at most ", limits.onnx_message_bytes, " bytes without external data"),
         .help = protobuf_limit
                     ? "export it with its weights in a file of their own: "
                       "`torch.onnx.export(model, (example,), \"model.onnx\", external_data=True)`"
                     : "if you trust the file, add `--limit onnx_message_bytes=N`"});
  }
  try {
    Walk(bytes, limits, name).run();
  } catch (const ModelError&) {
    refuse_text_file(bytes, name);
    throw;
  }
}

}  // namespace niwaki
