#pragma once

#include "compress/dataset.h"
#include "formats/csv.h"
#include "formats/limits.h"

namespace niwaki {

/// The arrays of an .npz file, or the one ("arr_0") of an .npy file, a folder of those, an idx or a
/// CSV file, by content; opened and checked, read on demand. E4004 where there is no such file,
/// E1714 where it is none of them.
SampleArrays open_samples(const std::string& path, const Limits& limits = {},
                          const CsvOptions& csv = {});

/// Arrays that are in memory already.
SampleArrays samples_of(const std::map<std::string, Tensor>& arrays);

}  // namespace niwaki
