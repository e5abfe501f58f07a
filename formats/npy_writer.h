#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "compress/atomic_file.h"
#include "compress/tensor.h"

namespace niwaki {

/// Writes one array; types that NumPy lacks (bfloat16, float8) become float32, which holds them
/// exactly.
void write_npy(const std::string& path, const Tensor& tensor);
/// The bytes of such a file.
std::string npy_bytes(const Tensor& tensor);

/// Writes an .npz container of stored arrays; equal arrays give equal bytes.
class NpzWriter {
 public:
  explicit NpzWriter(const std::string& path) : file_(path) {}
  void add(const std::string& name, const Tensor& tensor);
  void add_strings(const std::string& name, const std::vector<int64_t>& sizes,
                   const std::vector<std::string>& texts);
  /// Writes the directory and gives the file its name; without it nothing remains.
  void commit();

 private:
  struct Entry {
    std::string name;
    uint64_t offset, size;
    uint32_t crc;
  };
  void add_entry(const std::string& name, const std::string& header,
                 std::span<const std::byte> data);
  AtomicFile file_;
  std::vector<Entry> entries_;
};

}  // namespace niwaki
