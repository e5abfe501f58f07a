#include "formats/archive/symbol_stream.h"

#include "formats/archive/adaptive_symbols.h"
#include "formats/archive/rans.h"
#include "formats/archive/zstd_stream.h"

#include <algorithm>

namespace niwaki::archive {
namespace {

constexpr size_t kMostAdaptive = 65536;      // symbols: above, a table costs next to nothing
constexpr size_t kMostSlow = size_t{64} << 20;   // bytes that the slow level is tried on: 2 MB/s
constexpr int kFastLevel = 3, kBestLevel = 19;

Bytes begun(SymbolKind kind) { return {static_cast<uint8_t>(kind)}; }

void keep_smaller(Bytes& best, Bytes other) {
  if (other.size() < best.size()) best = std::move(other);
}

Bytes raw(ByteView symbols) {
  Bytes out = begun(SymbolKind::raw);
  put_bytes(out, symbols);
  return out;
}

Bytes with_explicit_table(ByteView symbols, const Counts& counts) {
  Bytes out = begun(SymbolKind::explicit_table);
  const Frequencies table = fit_frequencies(counts);
  write_frequencies(out, table);
  put_bytes(out, rans_encode(symbols, table));
  return out;
}

Bytes with_shape(ByteView symbols, const Counts& counts, uint8_t center) {
  Bytes out = begun(SymbolKind::shape_table);
  const Shape shape = fit_shape(counts, center);
  write_shape(out, shape);
  put_bytes(out, rans_encode(symbols, frequencies_of(shape)));
  return out;
}

Bytes adaptive(ByteView symbols, uint8_t center) {
  Bytes out = begun(SymbolKind::adaptive);
  out.push_back(center);
  put_bytes(out, encode_adaptive(symbols, center));
  return out;
}

/// The slow level runs only where the fast one says that it could win.
void try_zstd(Bytes& best, ByteView symbols, bool always) {
  const auto framed = [&](int level) {
    Bytes out = begun(SymbolKind::zstd);
    put_bytes(out, zstd_compress(symbols, level));
    return out;
  };
  Bytes fast = framed(kFastLevel);
  if (symbols.size() <= kMostSlow && (always || fast.size() < best.size())) keep_smaller(fast, framed(kBestLevel));
  keep_smaller(best, std::move(fast));
}

}  // namespace

Bytes encode_symbols(ByteView symbols, Codec codec, uint8_t center) {
  Bytes best = raw(symbols);
  if (symbols.empty()) return best;
  if (codec != Codec::zstd) {
    const Counts counts = count_symbols(symbols);
    keep_smaller(best, with_shape(symbols, counts, center));
    // a table takes 2 bytes a symbol at most, so that where entropy saves less there is nothing to win
    if (entropy_bytes(counts) < static_cast<double>(best.size())) {
      keep_smaller(best, with_explicit_table(symbols, counts));
      if (symbols.size() < kMostAdaptive) {
        keep_smaller(best, adaptive(symbols, center));
        const auto most = static_cast<uint8_t>(std::max_element(counts.begin(), counts.end()) - counts.begin());
        if (most != center) keep_smaller(best, adaptive(symbols, most));
      }
    }
  }
  if (codec != Codec::rans) try_zstd(best, symbols, codec == Codec::zstd);
  return best;
}

void decode_symbols(ByteView coded, std::span<uint8_t> symbols) {
  ByteReader reader(coded);
  const auto kind = static_cast<SymbolKind>(reader.byte());
  if (kind == SymbolKind::raw) {
    if (reader.left() != symbols.size()) refuse("E1804", cat("the archive is damaged: a part has ", reader.left(), " bytes, not the ", symbols.size(), " announced"));
    std::ranges::copy(reader.rest(), symbols.begin());
  } else if (kind == SymbolKind::zstd) {
    zstd_decompress(reader.rest(), symbols);
  } else if (kind == SymbolKind::explicit_table) {
    const Frequencies table = read_frequencies(reader);
    rans_decode(reader.rest(), table, symbols);
  } else if (kind == SymbolKind::shape_table) {
    const Shape shape = read_shape(reader);
    rans_decode(reader.rest(), frequencies_of(shape), symbols);
  } else if (kind == SymbolKind::adaptive) {
    const uint8_t center = reader.byte();
    decode_adaptive(reader.rest(), center, symbols);
  } else {
    refuse("E1805", "the archive is damaged: a part is coded in no known way");
  }
}

}  // namespace niwaki::archive
