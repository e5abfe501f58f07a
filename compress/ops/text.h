#pragma once

#include "compress/ops/op_table.h"

namespace niwaki {

// The operators on strings, listed in sequence_ops().
RunValues regex_full_match(const OpCall& call);
RunValues string_concat(const OpCall& call);
RunValues string_normalizer(const OpCall& call);
RunValues string_split(const OpCall& call);
RunValues tf_idf_vectorizer(const OpCall& call);

}  // namespace niwaki
