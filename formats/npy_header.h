#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "compress/tensor.h"

namespace niwaki {

/// What the header of an .npy file says.
struct NpyHeader {
  DType dtype = DType::undefined;
  int64_t item_bytes = 0;  // of one element; strings of a type all have the same
  bool utf32 = false;      // strings of 4-byte characters, else of bytes
  bool fortran_order = false;
  std::vector<int64_t> sizes;
  uint64_t data_offset = 0;
};

/// How many bytes, from the start of an .npy file, its header takes at most.
inline constexpr uint64_t kNpyHeaderBytes = 65536;

/// Parses the header at the start of `head` by the grammar that NumPy writes; throws E1701, E1702.
/// `name` is what messages say.
NpyHeader parse_npy_header(std::string_view head, const std::string& name);
/// The header, padding included, for an array in C order.
std::string npy_header(const std::string& descr, const std::vector<int64_t>& sizes);
/// "<f4"; empty where NumPy has no such type.
std::string npy_descr(DType dtype);

}  // namespace niwaki
