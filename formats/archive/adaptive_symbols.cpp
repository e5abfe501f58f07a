#include "formats/archive/adaptive_symbols.h"

#include "formats/archive/range_coder.h"

#include <array>
#include <cstdlib>

namespace niwaki::archive {
namespace {

constexpr int kMostBits = 8;

/// The counts of all decisions, and one walk through them that writes or reads.
class Model {
 public:
  /// `decide(known, context)` codes one decision: the writer gives the known answer back, the reader finds it.
  template <typename Decide>
  int step(int value, Decide&& decide) {
    const int magnitude = std::abs(value);
    const int known_width = static_cast<int>(std::bit_width(static_cast<unsigned>(magnitude)));
    int width = 0;
    while (width < kMostBits && decide(known_width > width, widths_[width])) ++width;
    if (width == 0) return 0;
    const bool is_negative = decide(value < 0, signs_[width]);
    int prefix = 1;
    for (int bit = width - 1; bit-- > 0;) prefix = prefix << 1 | (decide(magnitude >> bit & 1, bits_[width][prefix]) ? 1 : 0);
    return is_negative ? -prefix : prefix;
  }

 private:
  std::array<AdaptiveBit, kMostBits> widths_;
  std::array<AdaptiveBit, kMostBits + 1> signs_;
  std::array<std::array<AdaptiveBit, 128>, kMostBits + 1> bits_;
};

}  // namespace

Bytes encode_adaptive(ByteView symbols, uint8_t center) {
  Model model;
  RangeEncoder encoder;
  for (const uint8_t symbol : symbols) {
    const auto value = static_cast<int8_t>(static_cast<uint8_t>(symbol - center));
    model.step(value, [&](bool one, AdaptiveBit& context) {
      encoder.put(one, context);
      return one;
    });
  }
  return encoder.finish();
}

void decode_adaptive(ByteView coded, uint8_t center, std::span<uint8_t> symbols) {
  Model model;
  RangeDecoder decoder(coded);
  for (uint8_t& symbol : symbols) {
    const int value = model.step(0, [&](bool, AdaptiveBit& context) { return decoder.get(context); });
    symbol = static_cast<uint8_t>(value + center);
  }
  decoder.require_end();
}

}  // namespace niwaki::archive
