#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "compress/tensor.h"
#include "formats/limits.h"

namespace niwaki {

/// An array in an .npy file or an .npz container, read on demand; copies share it, threads may too.
class NpyArray {
 public:
  DType dtype() const;
  const std::vector<int64_t>& sizes() const;
  /// Rows [first, first + count) of the first axis; only they are read.
  Tensor rows(int64_t first, int64_t count) const;
  Tensor all() const;
  /// The elements of those rows where dtype() is string, in order, as UTF-8.
  std::vector<std::string> string_rows(int64_t first, int64_t count) const;
  std::vector<std::string> all_strings() const;

 private:
  struct State;
  friend struct NpyOpener;
  explicit NpyArray(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  std::shared_ptr<const State> state_;
};

/// Throws E4004 (no file), E1701 (header), E1702 (element type), E1703 (byte count).
NpyArray open_npy(const std::string& path, const Limits& limits = {});
/// Arrays by name; every entry's size and CRC is checked first. Throws E1601 to E1607 beside the
/// above.
std::map<std::string, NpyArray> open_npz(const std::string& path, const Limits& limits = {});

}  // namespace niwaki
