#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "formats/limits.h"

namespace niwaki {

/// A class or function that a pickle would import.
struct PickleGlobal {
  std::string module, name;
  size_t offset = 0;
};

/// Lists the globals of the pickle that starts at `at`, without doing what it says; moves `at`
/// behind it. Throws E1503 where an opcode leaves the bytes, E1504 where it is none.
std::vector<PickleGlobal> scan_pickle(std::string_view bytes, size_t& at, const Limits& limits,
                                      const std::string& name);

/// True for what a file of plain tensors needs: the rebuilders, storages and ordered dictionaries
/// of PyTorch.
bool is_tensor_global(const PickleGlobal& global);

}  // namespace niwaki
