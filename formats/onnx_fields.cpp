#include "formats/onnx_fields.h"

namespace niwaki::onnx_fields {
namespace {

using namespace table;

constexpr Field dimension_fields[] = {{1, "dim_value", varint},
                                      {2, "dim_param", bytes, false, nullptr, Meter::name},
                                      {3, "denotation", bytes}};
constexpr Message dimension{"Dimension", dimension_fields};
constexpr Field shape_fields[] = {{1, "dim", message, many, &dimension}};
constexpr Message shape{"TensorShapeProto", shape_fields};
constexpr Field tensor_type_fields[] = {{1, "elem_type", varint32},
                                        {2, "shape", message, false, &shape}};
constexpr Message tensor_type{"TypeProto.Tensor", tensor_type_fields};
constexpr Message sparse_tensor_type{"TypeProto.SparseTensor", tensor_type_fields};
constexpr Field element_fields[] = {{1, "elem_type", message, false, &type}};
constexpr Message sequence_type{"TypeProto.Sequence", element_fields};
constexpr Message optional_type{"TypeProto.Optional", element_fields};
constexpr Field map_fields[] = {{1, "key_type", varint32},
                                {2, "value_type", message, false, &type}};
constexpr Message map_type{"TypeProto.Map", map_fields};
constexpr Field opaque_fields[] = {{1, "domain", bytes}, {2, "name", bytes}};
constexpr Message opaque_type{"TypeProto.Opaque", opaque_fields};
constexpr Field type_fields[] = {
    {1, "tensor_type", message, false, &tensor_type, Meter::none, 0, true},
    {4, "sequence_type", message, false, &sequence_type, Meter::none, 0, true},
    {5, "map_type", message, false, &map_type, Meter::none, 0, true},
    {6, "denotation", bytes},
    {7, "opaque_type", message, false, &opaque_type, Meter::none, 0, true},
    {8, "sparse_tensor_type", message, false, &sparse_tensor_type, Meter::none, 0, true},
    {9, "optional_type", message, false, &optional_type, Meter::none, 0, true}};
constexpr Field value_info_fields[] = {
    {1, "name", bytes, false, nullptr, Meter::name},
    {2, "type", message, false, &type},
    {3, "doc_string", bytes},
    {4, "metadata_props", message, many, &entry, Meter::metadata}};
constexpr Field tensor_fields[] = {{1, "dims", varint, many},
                                   {2, "data_type", varint32},
                                   {3, "segment", message, false, &segment},
                                   {4, "float_data", fixed32, many},
                                   {5, "int32_data", varint32, many},
                                   {6, "string_data", bytes, many},
                                   {7, "int64_data", varint, many},
                                   {8, "name", bytes, false, nullptr, Meter::name},
                                   {9, "raw_data", bytes},
                                   {10, "double_data", fixed64, many},
                                   {11, "uint64_data", varint, many},
                                   {12, "doc_string", bytes},
                                   {13, "external_data", message, many, &entry},
                                   {14, "data_location", choice, false, nullptr, Meter::none, 1},
                                   {16, "metadata_props", message, many, &entry, Meter::metadata}};
constexpr Field sparse_tensor_fields[] = {{1, "values", message, false, &tensor},
                                          {2, "indices", message, false, &tensor},
                                          {3, "dims", varint, many}};
constexpr Field attribute_fields[] = {{1, "name", bytes, false, nullptr, Meter::name},
                                      {2, "f", fixed32},
                                      {3, "i", varint},
                                      {4, "s", bytes, false, nullptr, Meter::attribute},
                                      {5, "t", message, false, &tensor},
                                      {6, "g", message, false, &graph},
                                      {7, "floats", fixed32, many, nullptr, Meter::attribute},
                                      {8, "ints", varint, many, nullptr, Meter::attribute},
                                      {9, "strings", bytes, many, nullptr, Meter::attribute},
                                      {10, "tensors", message, many, &tensor},
                                      {11, "graphs", message, many, &graph},
                                      {13, "doc_string", bytes},
                                      {14, "tp", message, false, &type},
                                      {15, "type_protos", message, many, &type},
                                      {20, "type", choice, false, nullptr, Meter::none, 14},
                                      {21, "ref_attr_name", bytes, false, nullptr, Meter::name},
                                      {22, "sparse_tensor", message, false, &sparse_tensor},
                                      {23, "sparse_tensors", message, many, &sparse_tensor}};
constexpr Field node_fields[] = {{1, "input", bytes, many, nullptr, Meter::name},
                                 {2, "output", bytes, many, nullptr, Meter::value},
                                 {3, "name", bytes, false, nullptr, Meter::name},
                                 {4, "op_type", bytes, false, nullptr, Meter::name},
                                 {5, "attribute", message, many, &attribute},
                                 {6, "doc_string", bytes},
                                 {7, "domain", bytes, false, nullptr, Meter::name},
                                 {8, "overload", bytes, false, nullptr, Meter::name},
                                 {9, "metadata_props", message, many, &entry, Meter::metadata},
                                 {10, "device_configurations", message, many, &node_device}};
constexpr Field graph_fields[] = {
    {1, "node", message, many, &node, Meter::node},
    {2, "name", bytes, false, nullptr, Meter::name},
    {5, "initializer", message, many, &tensor, Meter::constant},
    {10, "doc_string", bytes},
    {11, "input", message, many, &value_info, Meter::value},
    {12, "output", message, many, &value_info, Meter::value},
    {13, "value_info", message, many, &value_info, Meter::value},
    {14, "quantization_annotation", message, many, &annotation},
    {15, "sparse_initializer", message, many, &sparse_tensor, Meter::constant},
    {16, "metadata_props", message, many, &entry, Meter::metadata}};
constexpr Field function_fields[] = {
    {1, "name", bytes, false, nullptr, Meter::name},
    {4, "input", bytes, many, nullptr, Meter::name},
    {5, "output", bytes, many, nullptr, Meter::name},
    {6, "attribute", bytes, many, nullptr, Meter::name},
    {7, "node", message, many, &node, Meter::node},
    {8, "doc_string", bytes},
    {9, "opset_import", message, many, &opset},
    {10, "domain", bytes, false, nullptr, Meter::name},
    {11, "attribute_proto", message, many, &attribute},
    {12, "value_info", message, many, &value_info, Meter::value},
    {13, "overload", bytes, false, nullptr, Meter::name},
    {14, "metadata_props", message, many, &entry, Meter::metadata}};
constexpr Message function{"FunctionProto", function_fields};
constexpr Field training_fields[] = {{1, "initialization", message, false, &graph},
                                     {2, "algorithm", message, false, &graph},
                                     {3, "initialization_binding", message, many, &entry},
                                     {4, "update_binding", message, many, &entry}};
constexpr Message training{"TrainingInfoProto", training_fields};
constexpr Field model_fields[] = {{1, "ir_version", varint},
                                  {2, "producer_name", bytes},
                                  {3, "producer_version", bytes},
                                  {4, "domain", bytes},
                                  {5, "model_version", varint},
                                  {6, "doc_string", bytes},
                                  {7, "graph", message, false, &graph},
                                  {8, "opset_import", message, many, &opset},
                                  {14, "metadata_props", message, many, &entry, Meter::metadata},
                                  {20, "training_info", message, many, &training},
                                  {25, "functions", message, many, &function, Meter::function},
                                  {26, "configuration", message, many, &device}};

}  // namespace

const Message model{"ModelProto", model_fields};
const Message graph{"GraphProto", graph_fields};
const Message node{"NodeProto", node_fields};
const Message attribute{"AttributeProto", attribute_fields};
const Message tensor{"TensorProto", tensor_fields};
const Message sparse_tensor{"SparseTensorProto", sparse_tensor_fields};
const Message value_info{"ValueInfoProto", value_info_fields};
const Message type{"TypeProto", type_fields};

}  // namespace niwaki::onnx_fields
