#include "formats/archive/hole_finder.h"

#include "formats/onnx_fields.h"

#include <charconv>
#include <optional>

namespace niwaki::archive {
namespace {

using onnx_fields::Message;

/// A field as it stands in the file.
struct Entry {
  uint32_t number = 0, wire = 0;
  uint64_t value = 0;                        // of a varint
  uint64_t begin = 0, end = 0;               // of what follows the tag (and the length)
};

/// Goes through the fields of one message; the file was vetted, so that running out is a bug.
class Fields {
 public:
  Fields(std::span<const std::byte> bytes, uint64_t begin, uint64_t end) : bytes_(bytes), at_(begin), end_(end) {}
  std::optional<Entry> next() {
    if (at_ >= end_) return std::nullopt;
    Entry entry;
    const uint64_t tag = varint();
    entry.number = static_cast<uint32_t>(tag >> 3);
    entry.wire = tag & 7;
    if (entry.wire == 2) {
      const uint64_t length = varint();
      entry.begin = at_;
      if (length > end_ - at_) throw InternalError("a vetted file has a field that is too long");
      at_ += length;
    } else {
      entry.begin = at_;
      if (entry.wire == 0) entry.value = varint();
      else at_ += entry.wire == 1 ? 8 : 4;
    }
    entry.end = at_;
    return entry;
  }

 private:
  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 70 && at_ < end_; shift += 7) {
      const auto byte = std::to_integer<uint64_t>(bytes_[at_++]);
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) break;
    }
    return value;
  }
  std::span<const std::byte> bytes_;
  uint64_t at_, end_;
};

std::string text_of(std::span<const std::byte> bytes, const Entry& entry) {
  return {reinterpret_cast<const char*>(bytes.data()) + entry.begin, static_cast<size_t>(entry.end - entry.begin)};
}

/// Width and kind of TensorProto.DataType; 0 bits where bytes say nothing about numbers.
ElementLayout layout_of(uint64_t data_type) {
  switch (data_type) {
    case 1: return {.bits = 32, .is_float = true};
    case 10: case 16: return {.bits = 16, .is_float = true};
    case 11: return {.bits = 64, .is_float = true};
    case 4: case 5: return {.bits = 16};
    case 6: case 12: return {.bits = 32};
    case 7: case 13: return {.bits = 64};
    case 14: return {.bits = 32, .is_float = true};     // complex64: pairs of float
    case 15: return {.bits = 64, .is_float = true};
    case 21: case 22: case 23: return {.bits = 4};
    default: return {.bits = 8};
  }
}

struct TensorFields {
  std::vector<uint64_t> dims;
  uint64_t data_type = 0;
  std::string name, location;
  std::optional<uint64_t> offset, length;
  bool is_external = false;
  std::vector<Entry> payloads;
};

std::optional<uint64_t> number_of(const std::string& text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() ? std::optional(value) : std::nullopt;
}

void read_dims(std::span<const std::byte> bytes, const Entry& entry, std::vector<uint64_t>& dims) {
  if (entry.wire == 0) return dims.push_back(entry.value);
  for (uint64_t at = entry.begin; at < entry.end;) {
    uint64_t value = 0;
    for (int shift = 0; shift < 70 && at < entry.end; shift += 7) {
      const auto byte = std::to_integer<uint64_t>(bytes[at++]);
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) break;
    }
    dims.push_back(value);
  }
}

void read_external(std::span<const std::byte> bytes, const Entry& entry, TensorFields& tensor) {
  std::string key, value;
  Fields fields(bytes, entry.begin, entry.end);
  while (const auto field = fields.next()) {
    if (field->number == 1) key = text_of(bytes, *field);
    if (field->number == 2) value = text_of(bytes, *field);
  }
  if (key == "location") tensor.location = value;
  if (key == "offset") tensor.offset = number_of(value);
  if (key == "length") tensor.length = number_of(value);
}

TensorFields read_tensor(std::span<const std::byte> bytes, const Entry& message) {
  TensorFields tensor;
  Fields fields(bytes, message.begin, message.end);
  while (const auto field = fields.next()) {
    switch (field->number) {
      case 1: read_dims(bytes, *field, tensor.dims); break;
      case 2: tensor.data_type = field->value; break;
      case 8: tensor.name = text_of(bytes, *field); break;
      case 13: read_external(bytes, *field, tensor); break;
      case 14: tensor.is_external = field->value == 1; break;
      case 4: case 5: case 7: case 9: case 10: case 11:
        if (field->wire == 2) tensor.payloads.push_back(*field);
        break;
      default: break;
    }
  }
  return tensor;
}

/// How the numbers of a payload field lie: packed varints have no fixed width.
ElementLayout layout_in(const TensorFields& tensor, uint32_t field) {
  switch (field) {
    case 4: return {.bits = 32, .is_float = true};
    case 10: return {.bits = 64, .is_float = true};
    case 5: case 7: case 11: return {.bits = 8};
    default: return layout_of(tensor.data_type);
  }
}

uint64_t columns_of(const TensorFields& tensor) {
  uint64_t count = 1;
  for (const uint64_t dim : tensor.dims) {
    if (dim != 0 && count > (uint64_t{1} << 46) / dim) return 0;
    count *= dim;
  }
  return tensor.dims.size() < 2 || tensor.dims[0] == 0 ? 0 : count / tensor.dims[0];
}

void add_holes(std::span<const std::byte> bytes, const Entry& message, std::vector<Hole>& holes) {
  const TensorFields tensor = read_tensor(bytes, message);
  if (tensor.data_type == 8) return;         // strings
  if (tensor.is_external) {
    if (tensor.location.empty()) return;
    ElementLayout layout = layout_of(tensor.data_type);
    layout.columns = columns_of(tensor);
    holes.push_back({tensor.location, tensor.offset.value_or(0), tensor.length.value_or(0), layout, tensor.name});
    return;
  }
  for (const Entry& payload : tensor.payloads) {
    ElementLayout layout = layout_in(tensor, payload.number);
    const bool has_width = payload.number == 4 || payload.number == 9 || payload.number == 10;
    if (has_width) layout.columns = columns_of(tensor);
    holes.push_back({"", payload.begin, payload.end - payload.begin, layout, tensor.name});
  }
}

}  // namespace

std::vector<Hole> find_holes(std::span<const std::byte> model) {
  struct Pending {
    const Message* message;
    Entry entry;
  };
  std::vector<Hole> holes;
  std::vector<Pending> pending = {{&onnx_fields::model, {.begin = 0, .end = model.size()}}};
  while (!pending.empty()) {
    const Pending one = pending.back();
    pending.pop_back();
    if (one.message == &onnx_fields::tensor) {
      add_holes(model, one.entry, holes);
      continue;
    }
    Fields fields(model, one.entry.begin, one.entry.end);
    while (const auto field = fields.next()) {
      for (const onnx_fields::Field& known : one.message->fields) {
        if (known.number == field->number && known.message != nullptr && field->wire == 2) pending.push_back({known.message, *field});
      }
    }
  }
  return holes;
}

}  // namespace niwaki::archive
