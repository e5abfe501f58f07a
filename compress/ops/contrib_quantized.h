#pragma once

#include "compress/ops/op_table.h"

namespace niwaki {

// Quantized operators of com.microsoft, listed in contrib_ops().
RunValues dynamic_quantize_mat_mul(const OpCall& call);
RunValues gather_block_quantized(const OpCall& call);
RunValues mat_mul_integer_to_float(const OpCall& call);
RunValues mat_mul_n_bits(const OpCall& call);
RunValues q_gemm(const OpCall& call);
RunValues q_linear_add(const OpCall& call);
RunValues q_linear_average_pool(const OpCall& call);
RunValues q_linear_concat(const OpCall& call);
RunValues q_linear_global_average_pool(const OpCall& call);
RunValues q_linear_leaky_relu(const OpCall& call);
RunValues q_linear_mul(const OpCall& call);
RunValues q_linear_sigmoid(const OpCall& call);

}  // namespace niwaki
