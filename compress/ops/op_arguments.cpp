#include "compress/ops/op_arguments.h"

namespace niwaki {
namespace {

/// An integer type of the same width, for types that ATen only stores.
at::ScalarType plain_type(at::ScalarType type) {
  switch (type) {
    case at::kUInt16: return at::kShort;
    case at::kUInt32: return at::kInt;
    case at::kUInt64: return at::kLong;
    case at::kFloat8_e4m3fn:
    case at::kFloat8_e4m3fnuz:
    case at::kFloat8_e5m2:
    case at::kFloat8_e5m2fnuz:
    case at::kFloat8_e8m0fnu: return at::kByte;
    default: return type;
  }
}

}  // namespace

void refuse(const OpCall& call, const std::string& message) {
  throw ModelError("E1108", cat(printable(call.node.op), ": ", message));
}

void refuse_unsupported(const OpCall& call, const std::string& message) {
  throw UnsupportedError("E3101", cat(printable(call.node.op), ": ", message));
}

int64_t front_axis(const OpCall& call, int64_t axis, int64_t rank) {
  if (axis < -rank || axis >= rank) refuse(call, cat("axis ", axis, " is outside a tensor of rank ", rank));
  return axis < 0 ? axis + rank : axis;
}

std::vector<int64_t> front_axes(const OpCall& call, std::vector<int64_t> axes, int64_t rank) {
  std::vector<bool> seen(static_cast<size_t>(rank), false);
  for (int64_t& axis : axes) {
    axis = front_axis(call, axis, rank);
    if (seen[static_cast<size_t>(axis)]) refuse(call, cat("axis ", axis, " is named twice"));
    seen[static_cast<size_t>(axis)] = true;
  }
  return axes;
}

void check_sizes(const OpCall& call, at::IntArrayRef sizes) {
  constexpr int64_t kMost = int64_t{1} << 31;
  int64_t count = 1;
  bool too_many = false;
  for (const int64_t size : sizes) {
    if (size < 0) refuse(call, cat("a size of ", shape_text(sizes), " is negative"));
    if (size == 0) return;
    too_many = too_many || __builtin_mul_overflow(count, size, &count) || count >= kMost;
  }
  if (!too_many) return;
  throw ModelError("E1004", cat(printable(call.node.op), " would make a tensor of sizes ", shape_text(sizes)),
                   {.found = "the limit is 2^31 elements"});
}

int64_t int_input(const OpCall& call, size_t i) {
  const std::vector<int64_t> numbers = call.ints(i);
  if (numbers.size() != 1) refuse(call, cat("input ", i, " has ", numbers.size(), " elements instead of one"));
  return numbers[0];
}

std::optional<std::vector<int64_t>> ints_input_or_attribute(const OpCall& call, size_t i, const std::string& name) {
  if (call.has(i)) return call.ints(i);
  if (has_attribute(call.node, name)) return ints_attribute(call.node, name);
  return std::nullopt;
}

Tensor movable(const RunValue& value) {
  if (value.strings) return at::arange(static_cast<int64_t>(value.strings->size()), at::kLong).reshape(value.sizes);
  const at::ScalarType plain = plain_type(value.tensor.scalar_type());
  return plain == value.tensor.scalar_type() ? value.tensor : value.tensor.view(plain);
}

RunValue restored(const RunValue& value, const Tensor& moved) {
  if (!value.strings) {
    const at::ScalarType type = value.tensor.scalar_type();
    return {moved.scalar_type() == type ? moved : moved.view(type), value.dtype};
  }
  const Tensor flat = moved.reshape({-1}).contiguous();
  Strings strings;
  strings.reserve(static_cast<size_t>(flat.numel()));
  for (int64_t i = 0; i < flat.numel(); ++i) strings.push_back(value.strings->at(static_cast<size_t>(flat.const_data_ptr<int64_t>()[i])));
  return string_value(std::move(strings), moved.sizes().vec());
}

std::vector<int64_t> sizes_of(const RunValue& value) { return value.strings ? value.sizes : value.tensor.sizes().vec(); }

const RunValue& present(const OpCall& call, size_t i) {
  if (!call.has(i)) throw ModelError("E1107", cat("input ", i, " of ", printable(call.node.op), " is missing"));
  const RunValue& value = call.inputs[i];
  if (!value.tensor.defined() && !value.strings) refuse(call, cat("input ", i, " is a sequence instead of a tensor"));
  return value;
}

RunValue run_value(const Constant& constant) {
  if (constant.strings) return string_value(*constant.strings, constant.sizes);
  return {values(constant), constant.dtype};
}

RunValue string_value(Strings strings, std::vector<int64_t> sizes) {
  RunValue value;
  value.dtype = DType::string;
  value.strings = std::make_shared<const Strings>(std::move(strings));
  value.sizes = std::move(sizes);
  return value;
}

RunValue sequence_value(std::vector<RunValue> items) {
  RunValue value;
  value.sequence = std::make_shared<const std::vector<RunValue>>(std::move(items));
  return value;
}

bool wants_output(const OpCall& call, size_t i) {
  return i < call.node.outputs.size() && call.node.outputs[i] != ValueId::absent;
}

}  // namespace niwaki
