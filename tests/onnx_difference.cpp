#include "tests/onnx_difference.h"

#include <google/protobuf/util/message_differencer.h>
#include <onnx/onnx_pb.h>

#include <algorithm>
#include <cstring>

namespace niwaki {
namespace {

using google::protobuf::Message;

template <typename Number, typename Field>
std::string packed(const Field& field) {
  std::string bytes;
  for (const auto number : field) {
    const auto narrow = static_cast<Number>(number);
    bytes.append(reinterpret_cast<const char*>(&narrow), sizeof(narrow));
  }
  return bytes;
}

/// The bytes of a typed tensor field, as the ONNX standard lays them out.
std::string bits_of_fields(const onnx::TensorProto& tensor) {
  using Type = onnx::TensorProto;
  if (tensor.float_data_size() > 0) return packed<float>(tensor.float_data());
  if (tensor.double_data_size() > 0) return packed<double>(tensor.double_data());
  if (tensor.int64_data_size() > 0) return packed<int64_t>(tensor.int64_data());
  if (tensor.uint64_data_size() > 0) {
    return tensor.data_type() == Type::UINT32 ? packed<uint32_t>(tensor.uint64_data()) : packed<uint64_t>(tensor.uint64_data());
  }
  switch (tensor.data_type()) {
    case Type::INT32: return packed<int32_t>(tensor.int32_data());
    case Type::INT16: case Type::UINT16: case Type::FLOAT16: case Type::BFLOAT16: return packed<uint16_t>(tensor.int32_data());
    default: return packed<uint8_t>(tensor.int32_data());
  }
}

void normalize(Message& message);

void normalize_tensor(onnx::TensorProto& tensor) {
  if (tensor.data_type() == onnx::TensorProto::STRING || tensor.data_location() == onnx::TensorProto::EXTERNAL) return;
  const std::string bits = tensor.raw_data().empty() ? bits_of_fields(tensor) : tensor.raw_data();
  tensor.clear_float_data();
  tensor.clear_double_data();
  tensor.clear_int32_data();
  tensor.clear_int64_data();
  tensor.clear_uint64_data();
  tensor.clear_data_location();
  tensor.set_raw_data(bits);
}

/// Text that is set and empty means the same as text that is not set.
void forget_empty_text(Message& message) {
  const auto* reflection = message.GetReflection();
  std::vector<const google::protobuf::FieldDescriptor*> fields;
  reflection->ListFields(message, &fields);
  for (const auto* field : fields) {
    if (field->is_repeated() || field->type() != google::protobuf::FieldDescriptor::TYPE_STRING) continue;
    if (reflection->GetString(message, field).empty()) reflection->ClearField(&message, field);
  }
}

void normalize_below(Message& message) {
  const auto* reflection = message.GetReflection();
  std::vector<const google::protobuf::FieldDescriptor*> fields;
  reflection->ListFields(message, &fields);
  for (const auto* field : fields) {
    if (field->cpp_type() != google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE) continue;
    if (!field->is_repeated()) {
      normalize(*reflection->MutableMessage(&message, field));
      continue;
    }
    for (int i = 0; i < reflection->FieldSize(message, field); ++i) normalize(*reflection->MutableRepeatedMessage(&message, field, i));
  }
}

template <typename Field>
void sort_by_name(Field* field) {
  std::sort(field->begin(), field->end(), [](const auto& a, const auto& b) { return a.name() < b.name(); });
}

void normalize(Message& message) {
  normalize_below(message);
  forget_empty_text(message);
  if (auto* tensor = dynamic_cast<onnx::TensorProto*>(&message)) normalize_tensor(*tensor);
  if (auto* node = dynamic_cast<onnx::NodeProto*>(&message)) sort_by_name(node->mutable_attribute());
  if (auto* graph = dynamic_cast<onnx::GraphProto*>(&message)) sort_by_name(graph->mutable_value_info());
}

}  // namespace

std::string onnx_difference(const onnx::ModelProto& before, const onnx::ModelProto& after) {
  onnx::ModelProto a = before, b = after;
  normalize(a);
  normalize(b);
  google::protobuf::util::MessageDifferencer differencer;
  std::string report;
  differencer.ReportDifferencesToString(&report);
  if (differencer.Compare(a, b)) return "";
  return report.empty() ? "differ" : report.substr(0, 600);
}

}  // namespace niwaki
