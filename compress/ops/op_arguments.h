#pragma once

#include "compress/error.h"
#include "compress/ops/op_table.h"

namespace niwaki {

/// Throws E1108: this call of the operator has an attribute or an input that makes no sense.
[[noreturn]] void refuse(const OpCall& call, const std::string& message);
/// Throws E3101: a valid call that Niwaki does not run.
[[noreturn]] void refuse_unsupported(const OpCall& call, const std::string& message);

/// The axis counted from the front; E1108 outside [-rank, rank).
int64_t front_axis(const OpCall& call, int64_t axis, int64_t rank);
/// All axes counted from the front, each named once.
std::vector<int64_t> front_axes(const OpCall& call, std::vector<int64_t> axes, int64_t rank);
/// E1004 where a tensor of these sizes has 2^31 elements or more, E1108 where a size is negative.
void check_sizes(const OpCall& call, at::IntArrayRef sizes);
/// Input i as one integer.
int64_t int_input(const OpCall& call, size_t i);
/// Integers that moved from an attribute to input i in a later opset.
std::optional<std::vector<int64_t>> ints_input_or_attribute(const OpCall& call, size_t i, const std::string& name);

/// Numbers that every data movement of ATen takes: unsigned and 8-bit float types as integers of their width,
/// strings as their indices.
Tensor movable(const RunValue& value);
/// What came out of moving `movable(value)`, as a value of the type of `value`.
RunValue restored(const RunValue& value, const Tensor& moved);
/// The sizes of a tensor or of strings.
std::vector<int64_t> sizes_of(const RunValue& value);
/// Input i; E1107 where it is absent.
const RunValue& present(const OpCall& call, size_t i);
/// The tensor or strings of a Constant.
RunValue run_value(const Constant& constant);
/// Strings as a value.
RunValue string_value(Strings strings, std::vector<int64_t> sizes);
/// Values in a sequence.
RunValue sequence_value(std::vector<RunValue> items);
/// True if output i is asked for.
bool wants_output(const OpCall& call, size_t i);

}  // namespace niwaki
