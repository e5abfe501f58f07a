#pragma once

#include <string_view>

#include "formats/limits.h"
#include "formats/reshapable_array.h"

namespace niwaki {

/// Whether a file that begins like this is an idx file of bytes, or gzip data, which must hold one.
bool is_idx(std::string_view head);

/// MNIST's form: "arr_0" [samples, ...] as uint8, and "labels" of the file that is named like the
/// images', `t10k-labels-idx1-ubyte[.gz]` for `t10k-images-idx3-ubyte[.gz]`, where there is one.
/// Plain files are read on use; a compressed one is inflated whole, at most `inflated_bytes` and
/// `inflate_ratio`. E1708, E1004, E4004.
SampleArrays open_idx(const std::string& path, const Limits& limits = {});

}  // namespace niwaki
