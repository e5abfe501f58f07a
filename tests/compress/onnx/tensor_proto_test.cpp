#include "compress/onnx/tensor_proto.h"

#include "tests/compress/onnx/onnx_text.h"

#include <gmock/gmock.h>

#include <cstring>

namespace niwaki {
namespace {

using testing::ElementsAre;

Constant constant_of(const std::string& text) { return constant_from_proto(message_of<onnx::TensorProto>(text), {}); }
std::string refusal(const std::string& text) {
  return code_of_action([&] { constant_of(text); });
}
std::vector<double> numbers_of(const Constant& constant) {
  const Tensor wide = values(constant).to(at::kDouble).reshape({-1}).contiguous();
  return {wide.const_data_ptr<double>(), wide.const_data_ptr<double>() + wide.numel()};
}

TEST(TensorProto, ReadsEveryTypedField) {
  EXPECT_THAT(numbers_of(constant_of("data_type: 1 dims: 2 float_data: 1.5 float_data: -2")), ElementsAre(1.5, -2));
  EXPECT_THAT(numbers_of(constant_of("data_type: 11 dims: 1 double_data: 0.1")), ElementsAre(0.1));
  EXPECT_THAT(numbers_of(constant_of("data_type: 7 dims: 1 int64_data: -9")), ElementsAre(-9));
  EXPECT_THAT(numbers_of(constant_of("data_type: 6 dims: 1 int32_data: -9")), ElementsAre(-9));
  EXPECT_THAT(numbers_of(constant_of("data_type: 12 dims: 1 uint64_data: 4294967295")), ElementsAre(4294967295.0));
  EXPECT_THAT(numbers_of(constant_of("data_type: 3 dims: 2 int32_data: -128 int32_data: 127")), ElementsAre(-128, 127));
  EXPECT_THAT(numbers_of(constant_of("data_type: 2 dims: 1 int32_data: 255")), ElementsAre(255));
  EXPECT_THAT(numbers_of(constant_of("data_type: 9 dims: 2 int32_data: 1 int32_data: 0")), ElementsAre(1, 0));
  EXPECT_THAT(numbers_of(constant_of("data_type: 10 dims: 1 int32_data: 15360")), ElementsAre(1));      // the bits of 1.0
  EXPECT_THAT(numbers_of(constant_of("data_type: 16 dims: 1 int32_data: 16256")), ElementsAre(1));
  EXPECT_THAT(numbers_of(constant_of("data_type: 22 dims: 3 int32_data: 0xF1 int32_data: 0x08")), ElementsAre(1, -1, -8));
  EXPECT_THAT(*constant_of("data_type: 8 dims: 2 string_data: 'a' string_data: ''").strings, ElementsAre("a", ""));
}

TEST(TensorProto, ReadsRawBytes) {
  EXPECT_THAT(numbers_of(constant_of("data_type: 5 dims: 2 raw_data: '\\001\\000\\377\\377'")), ElementsAre(1, -1));
  EXPECT_THAT(numbers_of(constant_of("data_type: 21 dims: 3 raw_data: '\\041\\003'")), ElementsAre(1, 2, 3));
  EXPECT_EQ(element_count(constant_of("data_type: 1 dims: 0 dims: 5 raw_data: ''")), 0);
  EXPECT_EQ(element_count(constant_of("data_type: 1 dims: 0")), 0);
  EXPECT_THAT(numbers_of(constant_of("data_type: 1 float_data: 3")), ElementsAre(3));                    // rank 0
}

TEST(TensorProto, RefusesWhatDoesNotFitItsShape) {
  EXPECT_EQ(refusal("data_type: 1 dims: 2 raw_data: '1234'"), "E1303");
  EXPECT_EQ(refusal("data_type: 1 dims: 1 raw_data: '12345678'"), "E1303");
  EXPECT_EQ(refusal("data_type: 22 dims: 3 raw_data: '1'"), "E1303");
  EXPECT_EQ(refusal("data_type: 1 dims: 2 float_data: 1"), "E1303");
  EXPECT_EQ(refusal("data_type: 1 dims: 2"), "E1304");
  EXPECT_EQ(refusal("data_type: 1 dims: 1 float_data: 1 raw_data: '1234'"), "E1304");
  EXPECT_EQ(refusal("data_type: 8 dims: 2 string_data: 'a'"), "E1305");
  EXPECT_EQ(refusal("data_type: 99 dims: 1 raw_data: '1'"), "E1305");
  EXPECT_EQ(refusal("data_type: 0 dims: 1 raw_data: '1'"), "E1305");
  EXPECT_EQ(refusal("data_type: 3 dims: 1 int32_data: 256"), "E1305");
  EXPECT_EQ(refusal("data_type: 1 dims: -1 float_data: 1"), "E1302");
  EXPECT_EQ(refusal("data_type: 1 dims: 4611686018427387904 dims: 4 float_data: 1"), "E1301");
  std::string dims;
  for (int i = 0; i < 65; ++i) dims += "dims: 1 ";
  EXPECT_EQ(refusal("data_type: 1 " + dims + "float_data: 1"), "E1302");
  EXPECT_EQ(refusal("data_type: 1 dims: 1 data_location: EXTERNAL"), "E1208");
}

TEST(TensorProto, WritesTheSameBits) {
  for (const char* text : {"data_type: 5 dims: 2 raw_data: '\\001\\000\\377\\377'", "data_type: 22 dims: 3 raw_data: '\\041\\003'",
                           "data_type: 14 dims: 1 raw_data: '12345678'", "data_type: 17 dims: 3 raw_data: 'abc'", "data_type: 1 dims: 1 raw_data: '\\001\\000\\240\\177'"}) {
    const auto before = message_of<onnx::TensorProto>(text);
    onnx::TensorProto after;
    constant_to_proto(constant_of(text), "", after);
    EXPECT_EQ(after.SerializeAsString(), before.SerializeAsString()) << text;
  }
}

TEST(TensorProto, MakesSparseTensorsDense) {
  const auto dense = [](const std::string& text, int64_t largest = 100) {
    return dense_from_sparse(message_of<onnx::SparseTensorProto>(text), {}, largest);
  };
  const std::string two = "values { data_type: 1 dims: 2 float_data: 5 float_data: 6 } ";
  EXPECT_THAT(numbers_of(dense("dims: 4 " + two + "indices { data_type: 7 dims: 2 int64_data: 1 int64_data: 3 }")), ElementsAre(0, 5, 0, 6));
  const std::string pairs = "indices { data_type: 7 dims: 2 dims: 2 int64_data: 0 int64_data: 1 int64_data: 1 int64_data: 0 }";
  EXPECT_THAT(numbers_of(dense("dims: 2 dims: 2 " + two + pairs)), ElementsAre(0, 5, 6, 0));
  for (const char* indices : {"int64_data: 3 int64_data: 1", "int64_data: 1 int64_data: 1", "int64_data: 1 int64_data: 4", "int64_data: -1 int64_data: 1"}) {
    EXPECT_EQ(code_of_action([&] { dense("dims: 4 " + two + "indices { data_type: 7 dims: 2 " + indices + " }"); }), "E1307") << indices;
  }
  // (0, 5) would fall on (1, 2) of a row of 3
  const std::string beyond = "indices { data_type: 7 dims: 2 dims: 2 int64_data: 0 int64_data: 5 int64_data: 1 int64_data: 3 }";
  EXPECT_EQ(code_of_action([&] { dense("dims: 3 dims: 3 " + two + beyond); }), "E1307");
  EXPECT_EQ(code_of_action([&] { dense("dims: 4 " + two + "indices { data_type: 7 dims: 3 int64_data: 0 int64_data: 1 int64_data: 2 }"); }), "E1307");
  EXPECT_EQ(code_of_action([&] { dense("dims: 400 " + two + "indices { data_type: 7 dims: 2 int64_data: 1 int64_data: 3 }"); }), "E1004");
}

TEST(TensorProto, SparseTypesThatAtenCannotIndex) {
  const std::string places = "indices { data_type: 7 dims: 1 int64_data: 1 }";
  for (const char* numbers : {"data_type: 22 dims: 1 raw_data: '\\001'", "data_type: 8 dims: 1 string_data: 'a'", "data_type: 17 dims: 1 raw_data: 'a'",
                              "data_type: 13 dims: 1 uint64_data: 4", "data_type: 10 dims: 1 int32_data: 15360"}) {
    const auto proto = message_of<onnx::SparseTensorProto>(std::string("dims: 3 values { ") + numbers + " } " + places);
    try {
      EXPECT_EQ(element_count(dense_from_sparse(proto, {}, 100)), 3);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), "E1307") << numbers;
    }
  }
}

TEST(TypeProto, KeepsWhatATensorTypeCannotSay) {
  for (const char* text : {"tensor_type { elem_type: 1 }", "tensor_type { elem_type: 1 shape { } }", "tensor_type { elem_type: 1 shape { dim { dim_param: 'n' } dim { } dim { dim_value: 3 } } }",
                           "sequence_type { elem_type { tensor_type { elem_type: 1 } } }", "tensor_type { elem_type: 1 shape { dim { denotation: 'D' } } } denotation: 'IMAGE'"}) {
    const auto before = message_of<onnx::TypeProto>(text);
    Value value;
    type_from_proto(before, value);
    onnx::TypeProto after;
    type_to_proto(value, after);
    EXPECT_EQ(after.SerializeAsString(), before.SerializeAsString()) << text;
  }
}

}  // namespace
}  // namespace niwaki
