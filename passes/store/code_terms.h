#pragma once

#include "passes/store/stored_form.h"

namespace niwaki {

/// True if two tensors have the same bytes: -0.0 is not 0.0, and a NaN equals itself.
bool same_bytes(const Tensor& a, const Tensor& b);
/// The constant of these sizes, of the type of `like`, whose elements have these bits.
Constant constant_of_bits(const Tensor& bits, const Constant& like, std::vector<int64_t> sizes);

/// How many codes below `levels` (2 .. 256) a byte holds, as digits of a number in base `levels`.
int64_t codes_per_byte(int64_t levels);
/// One-dimensional codes below `levels` as int32 [n], several of them in a byte; [bytes, codes] where grouping is kept
/// and no byte is short of codes.
StoredForm::Term packed_term(StoredForm& form, const Tensor& codes, int64_t levels, bool keep_groups = false);

/// Sizes of the codebooks that can say one-dimensional bits; 0, the bits as they are, comes first.
std::vector<int64_t> codebook_sizes(const Tensor& bits, int64_t opset);
/// One-dimensional bits [n], or codes of a codebook of at most `levels` entries, shaped as packed_term() says.
StoredForm::Term coded_term(StoredForm& form, const Tensor& bits, const Constant& like, int64_t levels, bool keep_groups = false);

}  // namespace niwaki
