#pragma once

#include "formats/archive/frequency_model.h"

namespace niwaki::archive {

/// Interleaved rANS with one static table: 32-bit states, 16-bit words, symbol i in lane i mod lanes.
/// 1 lane below 4096 symbols, 2 below 32768, else 8.
int num_lanes(uint64_t num_symbols);
/// The states of all lanes, then the words in the order in which they are read.
Bytes rans_encode(ByteView symbols, const Frequencies& table);
/// E1805 unless every word is used and every lane ends where the encoder began.
void rans_decode(ByteView coded, const Frequencies& table, std::span<uint8_t> symbols);

}  // namespace niwaki::archive
