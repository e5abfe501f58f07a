#pragma once

#include "compress/dataset.h"
#include "formats/limits.h"

namespace niwaki {

/// The arrays of an .npz file, or the one of an .npy file (named "arr_0"), opened and checked, read on demand.
/// E4004 where there is no such file, E1714 where it is neither.
SampleArrays open_samples(const std::string& path, const Limits& limits = {});

/// Arrays that are in memory already.
SampleArrays samples_of(const std::map<std::string, Tensor>& arrays);

}  // namespace niwaki
