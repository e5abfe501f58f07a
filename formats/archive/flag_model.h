#pragma once

#include <array>

#include "formats/archive/range_coder.h"

namespace niwaki::archive {

/// Contexts for one flag per element of a matrix that is walked row by row: how often the row and the column were set so far, and
/// the two flags before. Integers only: the same in encoder and decoder.
class FlagModel {
 public:
  FlagModel(uint64_t num_flags, uint64_t columns, uint64_t num_set);
  /// The context of the next flag.
  AdaptiveBit& context();
  /// Goes on to the next one.
  void advance(bool is_set);

 private:
  static constexpr int kBuckets = 16;
  int bucket(uint64_t num_set, uint64_t num_seen) const;
  uint64_t columns_, column_ = 0, row_ = 0, row_set_ = 0;
  uint64_t share_;                           // of set flags, in 1/65536
  std::vector<uint32_t> column_set_;
  uint32_t before_ = 0;                      // the two flags before
  std::vector<AdaptiveBit> contexts_;
};

}  // namespace niwaki::archive
