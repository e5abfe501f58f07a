#pragma once

#include <string>

namespace onnx {
class ModelProto;
}  // namespace onnx

namespace niwaki {

/// What two messages say differently, or "": tensors are compared as bits, however they are stored; attributes and
/// value_info by name.
std::string onnx_difference(const onnx::ModelProto& before, const onnx::ModelProto& after);

}  // namespace niwaki
