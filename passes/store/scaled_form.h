#pragma once

#include "passes/store/stored_form.h"

namespace niwaki {

/// Float numbers that are integers times scales, bit for bit: int8 codes and a scale per tensor, per index of an axis
/// or per block. What quantization has stored is found again where it was expanded.
std::vector<StoredForm> scaled_forms(const Constant& constant);

}  // namespace niwaki
