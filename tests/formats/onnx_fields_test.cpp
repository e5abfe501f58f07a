#include "formats/onnx_fields.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace niwaki::onnx_fields {
namespace {

void visit(const Message& message, std::set<const Message*>& seen) {
  if (!seen.insert(&message).second) return;
  std::set<int> numbers;
  std::set<std::string> names;
  for (const Field& field : message.fields) {
    EXPECT_TRUE(numbers.insert(field.number).second) << message.name << " " << int{field.number};
    EXPECT_TRUE(names.insert(field.name).second) << message.name << " " << field.name;
    EXPECT_LE(field.number, kLargestNumber);
    EXPECT_EQ(field.kind == Kind::message, field.message != nullptr)
        << message.name << " " << field.name;
    if (field.message != nullptr) visit(*field.message, seen);
  }
}

TEST(OnnxFields, NumbersAndNamesAreUnique) {
  std::set<const Message*> seen;
  visit(model, seen);
  EXPECT_EQ(seen.size(), 28u);
}

}  // namespace
}  // namespace niwaki::onnx_fields
