#pragma once

#include "compress/ops/op_table.h"

namespace niwaki {

/// How numbers enter the 8-bit float types.
struct CastRules {
  bool saturate = true;                      // out of range: the largest value, not NaN
  std::string round_mode = "up";             // of float8e8m0: "up", "down", "nearest"
};

/// The value in another element type, as ONNX's Cast; strings are parsed and printed.
RunValue cast_value(const RunValue& value, DType to, const CastRules& rules = {});

RunValues bit_cast(const OpCall& call);
RunValues cast(const OpCall& call);
RunValues cast_like(const OpCall& call);

}  // namespace niwaki
