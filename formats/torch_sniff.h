#pragma once

#include <string>

#include "formats/limits.h"

namespace niwaki {

/// Says what a file of PyTorch (is_torch_file) is and how to get a model out of it: E1501 pickled
/// module, E1502 state dict, E1511 old torch.export archive, E3201 TorchScript or torch.export
/// archive, E1006 another container. Nothing in the file is run.
[[noreturn]] void refuse_torch_file(const std::string& path, const Limits& limits = {});

}  // namespace niwaki
