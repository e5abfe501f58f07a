#include "compress/onnx/tensor_proto.h"

#include "compress/error.h"

#include <onnx/onnx_pb.h>

#include <algorithm>
#include <cstring>
#include <functional>

namespace niwaki {
namespace {

using onnx::AttributeProto;
using onnx::TensorProto;

constexpr int64_t kMostElements = int64_t{1} << 46;
constexpr int kMostAxes = 64;

int64_t checked_count(const TensorProto& proto) {
  if (proto.dims_size() > kMostAxes) throw ModelError("E1302", cat("rank ", proto.dims_size(), " is over the limit of ", kMostAxes));
  int64_t count = 1;
  bool is_empty = false;
  for (const int64_t size : proto.dims()) {
    if (size < 0) throw ModelError("E1302", cat("negative dimension in shape ", shape_text(proto.dims())));
    is_empty |= size == 0;
    if (size != 0 && count > kMostElements / size) {
      throw ModelError("E1301", cat("shape ", shape_text(proto.dims()), " has more than 2^46 elements"));
    }
    if (size != 0) count *= size;
  }
  return is_empty ? 0 : count;
}

[[noreturn]] void wrong_size(const TensorProto& proto, DType dtype, int64_t needed, int64_t found, const char* unit) {
  throw ModelError("E1303", cat("tensor '", printable(proto.name()), "' is ", found < needed ? "shorter" : "longer", " than its shape says"),
                   {.found = cat(name_of(dtype), " ", shape_text(proto.dims()), ": needed ", needed, " ", unit, ", found ", found),
                    .help = "the file is probably cut off; copy it again and compare its sha256"});
}

/// A byte tensor that owns the string it looks at.
Tensor adopt(std::string bytes) {
  auto* owner = new std::string(std::move(bytes));
  return at::from_blob(owner->data(), {static_cast<int64_t>(owner->size())}, [owner](void*) { delete owner; }, at::kByte);
}

/// Bytes seen as elements; copied where the address is not aligned for them.
Tensor as_elements(const Tensor& bytes, DType dtype, const std::vector<int64_t>& sizes) {
  if (is_packed(dtype)) return bytes;
  const auto width = static_cast<uintptr_t>(bits_of(dtype) / 8);
  if (bytes.numel() == 0) return at::empty(sizes, scalar_type(dtype));
  const bool is_aligned = reinterpret_cast<uintptr_t>(bytes.const_data_ptr()) % std::min<uintptr_t>(width, 8) == 0;
  return (is_aligned ? bytes : bytes.clone()).view(scalar_type(dtype)).reshape(sizes);
}

template <typename Out, typename Field>
Tensor typed(const TensorProto& proto, DType dtype, const Field& field, int64_t needed) {
  if (field.size() != needed) wrong_size(proto, dtype, needed, field.size(), "elements");
  Tensor bytes = at::empty({needed * static_cast<int64_t>(sizeof(Out))}, at::kByte);
  auto* out = reinterpret_cast<Out*>(bytes.mutable_data_ptr<uint8_t>());
  for (int64_t i = 0; i < needed; ++i) {
    const auto number = field.Get(static_cast<int>(i));
    out[i] = static_cast<Out>(number);
    if constexpr (std::is_integral_v<Out>) {
      // narrow fields hold the bits, signed or not: both spellings of a byte are met in real files
      const bool fits = static_cast<decltype(number)>(out[i]) == number ||
                        static_cast<decltype(number)>(static_cast<std::make_signed_t<Out>>(out[i])) == number;
      if (!fits) throw ModelError("E1305", cat("value ", number, " at element ", i, " does not fit ", name_of(dtype)));
    }
  }
  return bytes;
}

Tensor typed_payload(const TensorProto& proto, DType dtype, int64_t count) {
  switch (dtype) {
    case DType::float32: return typed<float>(proto, dtype, proto.float_data(), count);
    case DType::complex64: return typed<float>(proto, dtype, proto.float_data(), 2 * count);
    case DType::float64: return typed<double>(proto, dtype, proto.double_data(), count);
    case DType::complex128: return typed<double>(proto, dtype, proto.double_data(), 2 * count);
    case DType::int64: return typed<uint64_t>(proto, dtype, proto.int64_data(), count);
    case DType::uint64: return typed<uint64_t>(proto, dtype, proto.uint64_data(), count);
    case DType::uint32: return typed<uint32_t>(proto, dtype, proto.uint64_data(), count);
    case DType::int32: return typed<uint32_t>(proto, dtype, proto.int32_data(), count);
    case DType::int16: case DType::uint16: case DType::float16: case DType::bfloat16:
      return typed<uint16_t>(proto, dtype, proto.int32_data(), count);
    default: return typed<uint8_t>(proto, dtype, proto.int32_data(), (count * bits_of(dtype) + 7) / 8);
  }
}

int filled_fields(const TensorProto& proto) {
  return (proto.float_data_size() > 0) + (proto.int32_data_size() > 0) + (proto.string_data_size() > 0) +
         (proto.int64_data_size() > 0) + (proto.double_data_size() > 0) + (proto.uint64_data_size() > 0) +
         (proto.has_raw_data() && !proto.raw_data().empty());
}

Constant string_constant(const TensorProto& proto, Constant constant, int64_t count) {
  if (proto.string_data_size() != count) {
    throw ModelError("E1305", cat("string tensor of ", count, " elements holds ", proto.string_data_size(), " strings"));
  }
  constant.strings = std::make_shared<const Strings>(proto.string_data().begin(), proto.string_data().end());
  return constant;
}

/// Indices [n], or coordinates [n, rank], as places in the dense tensor.
std::vector<int64_t> flat_places(const Constant& index, const std::vector<int64_t>& sizes) {
  const auto rank = static_cast<int64_t>(sizes.size());
  if (index.sizes.size() == 1) return {index.storage.const_data_ptr<int64_t>(), index.storage.const_data_ptr<int64_t>() + index.sizes[0]};
  if (index.sizes.size() != 2 || index.sizes[1] != rank) {
    throw ModelError("E1307", cat("sparse indices of shape ", shape_text(index.sizes), " do not fit a tensor of rank ", rank));
  }
  std::vector<int64_t> places;
  const int64_t* next = index.storage.const_data_ptr<int64_t>();
  for (int64_t i = 0; i < index.sizes[0]; ++i) {
    int64_t place = 0;
    for (int64_t axis = 0; axis < rank; ++axis, ++next) {
      const bool is_inside = *next >= 0 && *next < sizes[static_cast<size_t>(axis)];
      place = is_inside && place >= 0 ? place * sizes[static_cast<size_t>(axis)] + *next : -1;
    }
    if (place < 0) throw ModelError("E1307", cat("sparse coordinates at entry ", i, " are out of range"));
    places.push_back(place);
  }
  return places;
}

AttributeProto::AttributeType type_of(const AttributeProto& proto) {
  if (proto.type() != AttributeProto::UNDEFINED) return proto.type();
  if (proto.has_f()) return AttributeProto::FLOAT;      // files of IR 1 tell it by the field alone
  if (proto.has_i()) return AttributeProto::INT;
  if (proto.has_s()) return AttributeProto::STRING;
  if (proto.has_t()) return AttributeProto::TENSOR;
  if (proto.floats_size()) return AttributeProto::FLOATS;
  if (proto.ints_size()) return AttributeProto::INTS;
  if (proto.strings_size()) return AttributeProto::STRINGS;
  return AttributeProto::UNDEFINED;
}

}  // namespace

Constant constant_from_proto(TensorProto&& proto, const ExternalTensor& external) {
  Constant constant;
  constant.dtype = static_cast<DType>(proto.data_type());
  if (!is_known(constant.dtype)) throw ModelError("E1305", cat("unknown element type ", proto.data_type()));
  constant.sizes.assign(proto.dims().begin(), proto.dims().end());
  const int64_t count = checked_count(proto);
  const int fields = filled_fields(proto);
  const bool is_external = proto.data_location() == TensorProto::EXTERNAL;
  if (fields > 1) throw ModelError("E1304", "the tensor has more than one data field");
  if (constant.dtype == DType::string) return string_constant(proto, std::move(constant), count);
  const int64_t needed = (count * bits_of(constant.dtype) + 7) / 8;
  Tensor bytes;
  if (is_external) {
    if (!external) throw ModelError("E1208", "the tensor's data lies in another file, which a model in memory cannot have");
    bytes = external(proto, constant.dtype, needed);
    if (fields > 0) throw ModelError("E1304", "the tensor has data in the message and in another file");
  } else if (proto.has_raw_data() && fields == (proto.raw_data().empty() ? 0 : 1)) {
    if (static_cast<int64_t>(proto.raw_data().size()) != needed) {
      wrong_size(proto, constant.dtype, needed, static_cast<int64_t>(proto.raw_data().size()), "bytes");
    }
    bytes = adopt(std::move(*proto.mutable_raw_data()));
  } else if (fields == 0 && count > 0) {
    throw ModelError("E1304", cat("the tensor has no data; its shape ", shape_text(proto.dims()), " asks for ", needed, " bytes"));
  } else {
    bytes = typed_payload(proto, constant.dtype, count);
  }
  constant.storage = as_elements(bytes, constant.dtype, constant.sizes);
  if (proto.has_doc_string() || proto.metadata_props_size() > 0) {
    TensorProto rest;
    if (proto.has_doc_string()) rest.set_doc_string(proto.doc_string());
    rest.mutable_metadata_props()->Swap(proto.mutable_metadata_props());
    constant.rest = std::make_shared<const Opaque>(Opaque{rest.SerializeAsString()});
  }
  return constant;
}

void constant_to_proto(const Constant& constant, const std::string& name, TensorProto& proto) {
  if (constant.rest) proto.ParseFromString(constant.rest->bytes);
  if (!name.empty()) proto.set_name(name);
  proto.set_data_type(static_cast<int32_t>(constant.dtype));
  for (const int64_t size : constant.sizes) proto.add_dims(size);
  if (constant.strings) {
    for (const std::string& text : *constant.strings) proto.add_string_data(text);
    return;
  }
  const Tensor dense = constant.storage.contiguous();
  proto.set_raw_data(dense.const_data_ptr(), dense.nbytes());
}

Constant dense_from_sparse(const onnx::SparseTensorProto& proto, const ExternalTensor& external, int64_t largest) {
  TensorProto numbers = proto.values(), places = proto.indices(), shape;
  shape.mutable_dims()->CopyFrom(proto.dims());
  const int64_t count = checked_count(shape);
  const Constant given = constant_from_proto(std::move(numbers), external);
  const Constant index = constant_from_proto(std::move(places), external);
  if (index.dtype != DType::int64) throw ModelError("E1307", "sparse indices are not int64");
  if (given.strings || is_packed(given.dtype)) throw ModelError("E1307", cat("sparse tensors of ", name_of(given.dtype), " are not defined"));
  if (count > largest) throw ModelError("E1004", cat("sparse tensor of ", count, " elements is over the limit of ", largest));
  const std::vector<int64_t> flat = flat_places(index, {proto.dims().begin(), proto.dims().end()});
  const bool is_sorted = std::adjacent_find(flat.begin(), flat.end(), std::greater_equal<>()) == flat.end();
  if (!is_sorted || (!flat.empty() && (flat.front() < 0 || flat.back() >= count)) || static_cast<int64_t>(flat.size()) != element_count(given)) {
    throw ModelError("E1307", "sparse indices are unsorted, repeated or out of range");
  }
  Constant constant{.dtype = given.dtype, .sizes = {proto.dims().begin(), proto.dims().end()}};
  const auto width = static_cast<size_t>(bits_of(given.dtype) / 8);
  const Tensor bytes = at::zeros({count * static_cast<int64_t>(width)}, at::kByte), from = given.storage.contiguous();
  for (size_t i = 0; i < flat.size(); ++i) {
    std::memcpy(bytes.mutable_data_ptr<uint8_t>() + static_cast<size_t>(flat[i]) * width, static_cast<const char*>(from.const_data_ptr()) + i * width, width);
  }
  constant.storage = as_elements(bytes, given.dtype, constant.sizes);
  constant.sparse = std::make_shared<const Opaque>(Opaque{proto.SerializeAsString()});
  return constant;
}

void type_from_proto(const onnx::TypeProto& proto, Value& value) {
  value.dtype = DType::undefined;
  value.shape.reset();
  value.type = {};
  if (proto.value_case() == onnx::TypeProto::kTensorType) {
    value.dtype = static_cast<DType>(proto.tensor_type().elem_type());
    if (proto.tensor_type().has_shape()) {
      Shape shape;
      for (const auto& dim : proto.tensor_type().shape().dim()) {
        if (dim.has_dim_value()) {
          shape.emplace_back(dim.dim_value());
        } else if (dim.has_dim_param()) {
          shape.emplace_back(dim.dim_param());
        } else {
          shape.emplace_back();
        }
      }
      value.shape = std::move(shape);
    }
  }
  onnx::TypeProto again;
  type_to_proto(value, again);
  const std::string bytes = proto.SerializeAsString();
  if (again.SerializeAsString() != bytes) value.type = {bytes};   // sequences, denotations
}

void type_to_proto(const Value& value, onnx::TypeProto& proto) {
  if (!value.type.bytes.empty()) {
    proto.ParseFromString(value.type.bytes);
    return;
  }
  if (value.dtype == DType::undefined && !value.shape) return;
  auto& tensor = *proto.mutable_tensor_type();
  tensor.set_elem_type(static_cast<int32_t>(value.dtype));
  if (!value.shape) return;
  tensor.mutable_shape();
  for (const Dim& dim : *value.shape) {
    auto& one = *tensor.mutable_shape()->add_dim();
    if (const auto* size = std::get_if<int64_t>(&dim)) one.set_dim_value(*size);
    if (const auto* name = std::get_if<std::string>(&dim)) one.set_dim_param(*name);
  }
}

Attribute attribute_from_proto(AttributeProto& proto, const ExternalTensor& external) {
  if (proto.ref_attr_name().empty()) {
    switch (type_of(proto)) {
      case AttributeProto::FLOAT: return proto.f();
      case AttributeProto::INT: return int64_t{proto.i()};
      case AttributeProto::STRING: return proto.s();
      case AttributeProto::TENSOR: {
        if (!proto.t().name().empty()) break;    // a named tensor keeps its name
        Constant constant = constant_from_proto(onnx::TensorProto(proto.t()), external);
        return constant;
      }
      case AttributeProto::FLOATS: return std::vector<float>(proto.floats().begin(), proto.floats().end());
      case AttributeProto::INTS: return std::vector<int64_t>(proto.ints().begin(), proto.ints().end());
      case AttributeProto::STRINGS: return Strings(proto.strings().begin(), proto.strings().end());
      default: break;
    }
  }
  if (proto.has_t() && proto.ref_attr_name().empty()) {
    Constant constant = constant_from_proto(onnx::TensorProto(proto.t()), external);
    onnx::TensorProto rest;
    if (constant.rest) rest.ParseFromString(constant.rest->bytes);
    rest.set_name(proto.t().name());
    constant.rest = std::make_shared<const Opaque>(Opaque{rest.SerializeAsString()});
    return constant;
  }
  return Opaque{proto.SerializeAsString()};
}

void attribute_to_proto(const Attribute& attribute, AttributeProto& proto) {
  const std::string name = proto.name();
  std::visit(
      [&](const auto& value) {
        using T = std::decay_t<decltype(value)>;
        if constexpr (std::is_same_v<T, int64_t>) {
          proto.set_type(AttributeProto::INT);
          proto.set_i(value);
        } else if constexpr (std::is_same_v<T, float>) {
          proto.set_type(AttributeProto::FLOAT);
          proto.set_f(value);
        } else if constexpr (std::is_same_v<T, std::string>) {
          proto.set_type(AttributeProto::STRING);
          proto.set_s(value);
        } else if constexpr (std::is_same_v<T, Constant>) {
          proto.set_type(AttributeProto::TENSOR);
          constant_to_proto(value, "", *proto.mutable_t());
        } else if constexpr (std::is_same_v<T, std::vector<int64_t>>) {
          proto.set_type(AttributeProto::INTS);
          proto.mutable_ints()->Assign(value.begin(), value.end());
        } else if constexpr (std::is_same_v<T, std::vector<float>>) {
          proto.set_type(AttributeProto::FLOATS);
          proto.mutable_floats()->Assign(value.begin(), value.end());
        } else if constexpr (std::is_same_v<T, Strings>) {
          proto.set_type(AttributeProto::STRINGS);
          for (const std::string& text : value) proto.add_strings(text);
        } else {
          proto.ParseFromString(value.bytes);
        }
      },
      attribute);
  proto.set_name(name);
}

}  // namespace niwaki
