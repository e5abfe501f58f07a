#pragma once

#include <cstdint>
#include <span>

namespace niwaki::onnx_fields {

/// How a field is encoded; `varint32` and `choice` hold numbers that Protobuf would cut to 32 bits.
enum class Kind : uint8_t { varint, varint32, choice, fixed32, fixed64, bytes, message };
/// What a field counts against in `Limits`.
enum class Meter : uint8_t { none, node, constant, value, function, name, attribute, metadata };

struct Message;
struct Field {
  uint8_t number;
  const char* name;
  Kind kind;
  bool repeated = false;
  const Message* message = nullptr;
  Meter meter = Meter::none;
  uint8_t last_choice = 0;  // largest known number of an enumeration
  bool one_of = false;      // at most one of the message's fields that say so
};
struct Message {
  const char* name;
  std::span<const Field> fields;
};
inline constexpr int kLargestNumber = 26;

// Messages refer to each other in circles (Graph, Node, Attribute; Type), hence names before
// tables.
extern const Message model, graph, node, attribute, tensor, sparse_tensor, value_info, type;

namespace table {
using enum Kind;
constexpr bool many = true;
inline constexpr Field entry_fields[] = {{1, "key", bytes}, {2, "value", bytes}};
inline constexpr Message entry{"StringStringEntryProto", entry_fields};
inline constexpr Field opset_fields[] = {{1, "domain", bytes}, {2, "version", varint}};
inline constexpr Message opset{"OperatorSetIdProto", opset_fields};
inline constexpr Field int_list_fields[] = {{1, "key", varint}, {2, "value", varint, many}};
inline constexpr Message int_list{"IntIntListEntryProto", int_list_fields};
inline constexpr Field simple_dim_fields[] = {
    {1, "dim_value", varint}, {2, "dim_param", bytes}, {3, "num_shards", varint}};
inline constexpr Message simple_dim{"SimpleShardedDimProto", simple_dim_fields};
inline constexpr Field sharded_dim_fields[] = {{1, "axis", varint},
                                               {2, "simple_sharding", message, many, &simple_dim}};
inline constexpr Message sharded_dim{"ShardedDimProto", sharded_dim_fields};
inline constexpr Field sharding_fields[] = {
    {1, "tensor_name", bytes},
    {2, "device", varint, many},
    {3, "index_to_device_group_map", message, many, &int_list},
    {4, "sharded_dim", message, many, &sharded_dim}};
inline constexpr Message sharding{"ShardingSpecProto", sharding_fields};
inline constexpr Field node_device_fields[] = {{1, "configuration_id", bytes},
                                               {2, "sharding_spec", message, many, &sharding},
                                               {3, "pipeline_stage", varint32}};
inline constexpr Message node_device{"NodeDeviceConfigurationProto", node_device_fields};
inline constexpr Field device_fields[] = {
    {1, "name", bytes}, {2, "num_devices", varint32}, {3, "device", bytes, many}};
inline constexpr Message device{"DeviceConfigurationProto", device_fields};
inline constexpr Field annotation_fields[] = {
    {1, "tensor_name", bytes}, {2, "quant_parameter_tensor_names", message, many, &entry}};
inline constexpr Message annotation{"TensorAnnotation", annotation_fields};
inline constexpr Field segment_fields[] = {{1, "begin", varint}, {2, "end", varint}};
inline constexpr Message segment{"Segment", segment_fields};
}  // namespace table

}  // namespace niwaki::onnx_fields
