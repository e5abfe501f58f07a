#include "formats/archive/rans.h"

#include <algorithm>

namespace niwaki::archive {
namespace {

constexpr uint32_t kLeastState = 1u << 16;   // where encoding begins and decoding ends
constexpr int kMostLanes = 8;

std::array<uint32_t, 257> running_sums(const Frequencies& table) {
  std::array<uint32_t, 257> sums{};
  for (int i = 0; i < 256; ++i) sums[i + 1] = sums[i] + table.of[i];
  return sums;
}

struct Cursor {
  ByteView words;
  size_t at = 0;
  uint32_t next() {
    if (at + 2 > words.size()) refuse("E1805", "the archive is damaged: a coded tensor ends early");
    const uint32_t word = uint32_t{words[at]} | uint32_t{words[at + 1]} << 8;
    at += 2;
    return word;
  }
};

/// What a symbol occupies of the scale.
struct Slot {
  uint16_t frequency, begin;
};

class Decoder {
 public:
  explicit Decoder(const Frequencies& table)
      : log2_total_(table.log2_total), symbols_(size_t{1} << table.log2_total) {
    const auto sums = running_sums(table);
    for (int i = 0; i < 256; ++i) {
      slots_[i] = {table.of[i], static_cast<uint16_t>(sums[i])};
      std::fill(symbols_.begin() + sums[i], symbols_.begin() + sums[i + 1], static_cast<uint8_t>(i));
    }
  }
  uint8_t step(uint32_t& state, Cursor& cursor) const {
    const uint32_t place = state & ((1u << log2_total_) - 1);
    const uint8_t symbol = symbols_[place];
    state = slots_[symbol].frequency * (state >> log2_total_) + place - slots_[symbol].begin;
    if (state < kLeastState) state = state << 16 | cursor.next();
    return symbol;
  }

 private:
  int log2_total_;
  std::vector<uint8_t> symbols_;             // by place
  std::array<Slot, 256> slots_;
};

template <size_t lanes>
void decode_lanes(const Decoder& decoder, std::span<uint32_t> states, Cursor& cursor, std::span<uint8_t> symbols) {
  std::array<uint32_t, lanes> own;
  std::copy_n(states.begin(), lanes, own.begin());
  size_t i = 0;
  for (; i + lanes <= symbols.size(); i += lanes) {
    for (size_t lane = 0; lane < lanes; ++lane) symbols[i + lane] = decoder.step(own[lane], cursor);
  }
  for (; i < symbols.size(); ++i) symbols[i] = decoder.step(own[i % lanes], cursor);
  std::copy_n(own.begin(), lanes, states.begin());
}

}  // namespace

int num_lanes(uint64_t num_symbols) { return num_symbols < 4096 ? 1 : num_symbols < 32768 ? 2 : kMostLanes; }

Bytes rans_encode(ByteView symbols, const Frequencies& table) {
  const auto sums = running_sums(table);
  const size_t lanes = static_cast<size_t>(num_lanes(symbols.size()));
  std::array<uint32_t, kMostLanes> states;
  states.fill(kLeastState);
  std::vector<uint16_t> words;
  words.reserve(symbols.size() / 2);
  for (size_t i = symbols.size(); i-- > 0;) {
    uint32_t& state = states[i % lanes];
    const uint32_t frequency = table.of[symbols[i]];
    if (frequency == 0) throw InternalError("a symbol without frequency");
    // 64 bits: where one symbol has the whole scale, the bound is 2^32
    const uint64_t bound = uint64_t{frequency} << (32 - table.log2_total);
    if (state >= bound) {
      words.push_back(static_cast<uint16_t>(state));
      state >>= 16;
    }
    state = (state / frequency << table.log2_total) + state % frequency + sums[symbols[i]];
  }
  Bytes out;
  out.reserve(4 * lanes + 2 * words.size());
  for (size_t lane = 0; lane < lanes; ++lane) put_u32(out, states[lane]);
  for (size_t i = words.size(); i-- > 0;) {
    out.push_back(static_cast<uint8_t>(words[i]));
    out.push_back(static_cast<uint8_t>(words[i] >> 8));
  }
  return out;
}

void rans_decode(ByteView coded, const Frequencies& table, std::span<uint8_t> symbols) {
  const size_t lanes = static_cast<size_t>(num_lanes(symbols.size()));
  ByteReader reader(coded);
  std::array<uint32_t, kMostLanes> states;
  for (size_t lane = 0; lane < lanes; ++lane) {
    states[lane] = reader.u32();
    if (states[lane] < kLeastState) refuse("E1805", "the archive is damaged: a coded tensor begins in no state");
  }
  Cursor cursor{reader.rest()};
  const Decoder decoder(table);
  if (lanes == 1) decode_lanes<1>(decoder, states, cursor, symbols);
  if (lanes == 2) decode_lanes<2>(decoder, states, cursor, symbols);
  if (lanes == 8) decode_lanes<8>(decoder, states, cursor, symbols);
  const bool ends_where_it_began = std::all_of(states.begin(), states.begin() + lanes, [](uint32_t state) { return state == kLeastState; });
  if (!ends_where_it_began || cursor.at != cursor.words.size()) {
    refuse("E1805", "the archive is damaged: a coded tensor is not used up exactly");
  }
}

}  // namespace niwaki::archive
