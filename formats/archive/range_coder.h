#pragma once

#include "formats/archive/bytes.h"

namespace niwaki::archive {

/// Counts of the answers in one context, in sixteenths; halved where they grow large, so that it forgets.
class AdaptiveBit {
 public:
  /// As if it had seen eight answers, with this share of ones in 1/65536.
  explicit AdaptiveBit(uint32_t share_of_ones = 32768) : ones_(share_of_ones * 128 / 65536 + 1), zeros_(129 - ones_) {}
  /// 1 to 4095 of 4096.
  uint32_t probability_of_one() const {
    const uint32_t share = (ones_ << 12) / (ones_ + zeros_);
    return share < 1 ? 1 : share > 4095 ? 4095 : share;
  }
  void learn(bool one) {
    (one ? ones_ : zeros_) += 16;
    if (ones_ + zeros_ < 4096 * 16) return;
    ones_ = (ones_ + 1) / 2;
    zeros_ = (zeros_ + 1) / 2;
  }

 private:
  uint32_t ones_, zeros_;
};

/// Binary range coder with carry propagation, the kind that LZMA uses.
class RangeEncoder {
 public:
  void put(bool one, uint32_t probability_of_one);
  void put(bool one, AdaptiveBit& context) {
    put(one, context.probability_of_one());
    context.learn(one);
  }
  /// Four bytes that end the stream.
  Bytes finish();

 private:
  void shift();
  Bytes bytes_;
  uint64_t low_ = 0, pending_ = 0;
  uint32_t range_ = 0xffffffff;
  uint8_t cache_ = 0;
  bool has_cache_ = false;
};

/// E1805 where the bytes end early.
class RangeDecoder {
 public:
  explicit RangeDecoder(ByteView bytes);
  bool get(uint32_t probability_of_one);
  bool get(AdaptiveBit& context) {
    const bool one = get(context.probability_of_one());
    context.learn(one);
    return one;
  }
  /// E1805 unless every byte is used and the decoder is where the encoder ended.
  void require_end() const;

 private:
  uint8_t next();
  ByteView bytes_;
  size_t at_ = 0;
  uint32_t range_ = 0xffffffff, code_ = 0;
};

}  // namespace niwaki::archive
