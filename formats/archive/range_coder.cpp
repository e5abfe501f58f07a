#include "formats/archive/range_coder.h"

namespace niwaki::archive {

void RangeEncoder::put(bool one, uint32_t probability_of_one) {
  const uint32_t bound = (range_ >> 12) * probability_of_one;
  if (one) {
    range_ = bound;
  } else {
    low_ += bound;
    range_ -= bound;
  }
  while (range_ < 1u << 24) {
    range_ <<= 8;
    shift();
  }
}

/// Hands out the top byte of `low_`, once no carry can change it any more.
void RangeEncoder::shift() {
  if (low_ < 0xff000000u || low_ > 0xffffffffu) {
    const auto carry = static_cast<uint8_t>(low_ >> 32);
    if (has_cache_) bytes_.push_back(static_cast<uint8_t>(cache_ + carry));
    for (; pending_ > 0; --pending_) bytes_.push_back(static_cast<uint8_t>(0xff + carry));
    cache_ = static_cast<uint8_t>(low_ >> 24);
    has_cache_ = true;
  } else {
    ++pending_;
  }
  low_ = (low_ & 0x00ffffff) << 8;
}

Bytes RangeEncoder::finish() {
  for (int i = 0; i < 5; ++i) shift();
  return std::move(bytes_);
}

RangeDecoder::RangeDecoder(ByteView bytes) : bytes_(bytes) {
  for (int i = 0; i < 4; ++i) code_ = code_ << 8 | next();
}

uint8_t RangeDecoder::next() {
  if (at_ == bytes_.size()) refuse("E1805", "the archive is damaged: a coded tensor ends early");
  return bytes_[at_++];
}

bool RangeDecoder::get(uint32_t probability_of_one) {
  const uint32_t bound = (range_ >> 12) * probability_of_one;
  const bool one = code_ < bound;
  if (one) {
    range_ = bound;
  } else {
    code_ -= bound;
    range_ -= bound;
  }
  while (range_ < 1u << 24) {
    range_ <<= 8;
    code_ = code_ << 8 | next();
  }
  return one;
}

void RangeDecoder::require_end() const {
  if (at_ != bytes_.size() || code_ != 0) refuse("E1805", "the archive is damaged: a coded tensor is not used up exactly");
}

}  // namespace niwaki::archive
