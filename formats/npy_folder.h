#pragma once

#include "formats/limits.h"
#include "formats/reshapable_array.h"

namespace niwaki {

/// A folder of .npy files, one per sample, in the order of their names: "arr_0"; or one sub-folder
/// per input with equal file names. "labels" come from `labels.npy` or `labels.csv` beside them (one
/// label per line in the order of names, or the columns `file,label`). Every header is checked
/// first; samples are read on use, and no file stays open. E1705, E1706, E1707, E1712, E1714.
SampleArrays open_npy_folder(const std::string& path, const Limits& limits = {});

}  // namespace niwaki
