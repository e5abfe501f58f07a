#include "formats/archive/flag_model.h"

#include <algorithm>

namespace niwaki::archive {

FlagModel::FlagModel(uint64_t num_flags, uint64_t columns, uint64_t num_set)
    : columns_(columns),
      share_(num_flags == 0 ? 0 : (num_set << 16) / num_flags),
      column_set_(columns, 0),
      contexts_(kBuckets * kBuckets * 4, AdaptiveBit(static_cast<uint32_t>(std::min<uint64_t>(share_, 65535)))) {}

/// Half octaves of the rate, which begins at the share of the whole matrix as if four flags had been seen.
int FlagModel::bucket(uint64_t num_set, uint64_t num_seen) const {
  const uint64_t rate = ((num_seen + 4) << 20) / ((num_set << 16) + 4 * share_ + 1);   // of flags per set one, times 16
  const int width = std::bit_width(rate);
  const int half = width > 4 && (rate >> (width - 5) & 8) != 0 ? 1 : 0;   // the bit behind the first one
  return std::clamp(2 * (width - 5) + half, 0, kBuckets - 1);
}

AdaptiveBit& FlagModel::context() {
  const int row = bucket(row_set_, column_), column = bucket(column_set_[column_], row_);
  return contexts_[static_cast<size_t>((row * kBuckets + column) * 4) + before_];
}

void FlagModel::advance(bool is_set) {
  row_set_ += is_set;
  column_set_[column_] += is_set;
  before_ = (before_ << 1 | (is_set ? 1 : 0)) & 3;
  if (++column_ < columns_) return;
  column_ = 0;
  ++row_;
  row_set_ = 0;
}

}  // namespace niwaki::archive
