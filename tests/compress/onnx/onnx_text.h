#pragma once

#include "compress/error.h"
#include "compress/onnx/proto.h"

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>
#include <onnx/onnx_pb.h>

#include <string>

namespace niwaki {

/// A message from its text form.
template <typename Message>
Message message_of(const std::string& text) {
  Message message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return message;
}

/// A model of opset 17 whose graph is this text; x is an input, float [1, 2].
inline onnx::ModelProto model_of_text(const std::string& graph, const std::string& header = "opset_import { version: 17 }") {
  return message_of<onnx::ModelProto>(
      "ir_version: 8 " + header +
      " graph { name: 'g' input { name: 'x' type { tensor_type { elem_type: 1 shape { dim { dim_value: 1 } dim { dim_value: 2 } } } } } " + graph + " }");
}

/// The code of what `action` throws, or "".
template <typename Action>
std::string code_of_action(Action&& action) {
  try {
    action();
    return "";
  } catch (const Error& error) {
    return error.code();
  }
}

}  // namespace niwaki
