#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace niwaki {

/// Throws E1006 where the first bytes say that this is no ONNX model but something else that people
/// take for one.
void refuse_foreign_file(std::span<const std::byte> bytes, const std::string& name);
/// Throws where the file is text (E1006 by its kind, E1001 where it is none that we know) or empty
/// (E1006).
void refuse_text_file(std::span<const std::byte> bytes, const std::string& name);
/// True for what PyTorch saves: a zip container or a pickle.
bool is_torch_file(std::span<const std::byte> bytes);

}  // namespace niwaki
