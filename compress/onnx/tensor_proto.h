#pragma once

#include "compress/onnx/proto.h"

namespace onnx {
class AttributeProto;
class SparseTensorProto;
class TypeProto;
}  // namespace onnx

namespace niwaki {

/// Takes dtype and shape into the value; what a plain tensor type cannot say is kept as the value's `type`.
void type_from_proto(const onnx::TypeProto& proto, Value& value);
void type_to_proto(const Value& value, onnx::TypeProto& proto);

/// Any attribute but a graph.
Attribute attribute_from_proto(onnx::AttributeProto& proto, const ExternalTensor& external);
void attribute_to_proto(const Attribute& attribute, onnx::AttributeProto& proto);

/// The dense form of a sparse initializer of at most `largest` elements; E1307 on bad indices.
Constant dense_from_sparse(const onnx::SparseTensorProto& proto, const ExternalTensor& external, int64_t largest);

}  // namespace niwaki
