#include "formats/archive/sparse_stream.h"

#include "formats/archive/flag_model.h"
#include "formats/archive/frequency_model.h"

#include <algorithm>

namespace niwaki::archive {
namespace {

constexpr double kLeastZeros = 0.2;          // share below which a plain stream is never larger
constexpr int kGapBits[] = {4, 5, 6, 8};

/// The zeros' code, and where the others are in the order of the walk.
struct Split {
  uint8_t zero = 0;
  std::vector<bool> flags;
  Bytes values;
};

/// Walks a matrix by columns where `is_transposed`: element i of the walk.
struct Walk {
  uint64_t count, columns;
  bool is_transposed;
  uint64_t row_length() const { return is_transposed ? count / columns : columns; }
  uint64_t place(uint64_t i) const {
    if (!is_transposed) return i;
    const uint64_t rows = count / columns;
    return i % rows * columns + i / rows;
  }
};

Split split(ByteView symbols, uint8_t zero, const Walk& walk) {
  Split parts{.zero = zero, .flags = std::vector<bool>(symbols.size()), .values = {}};
  for (uint64_t i = 0; i < symbols.size(); ++i) {
    const uint8_t symbol = symbols[walk.place(i)];
    if (symbol == zero) continue;
    parts.flags[i] = true;
    parts.values.push_back(symbol);
  }
  return parts;
}

Bytes gaps_of(const std::vector<bool>& flags, uint32_t escape) {
  Bytes gaps;
  uint32_t gap = 0;
  for (const bool is_set : flags) {
    if (is_set) gaps.push_back(static_cast<uint8_t>(gap));
    gap = is_set ? 0 : gap + 1;
    if (gap == escape) gaps.push_back(static_cast<uint8_t>(escape)), gap = 0;
  }
  while (!gaps.empty() && gaps.back() == escape) gaps.pop_back();   // nothing comes behind the last one
  return gaps;
}

Bytes code_gaps(const std::vector<bool>& flags, Codec codec) {
  double least = 0;
  int best_bits = 0;
  for (const int bits : kGapBits) {
    const double own = entropy_bytes(count_symbols(gaps_of(flags, (1u << bits) - 1)));
    if (best_bits == 0 || own < least) best_bits = bits, least = own;
  }
  const Bytes gaps = gaps_of(flags, (1u << best_bits) - 1);
  Bytes out{static_cast<uint8_t>(best_bits)};
  put_varint(out, gaps.size());
  put_bytes(out, encode_symbols(gaps, codec));
  return out;
}

Bytes code_flags(const Split& parts, uint64_t row_length) {
  FlagModel model(parts.flags.size(), row_length, parts.values.size());
  RangeEncoder encoder;
  uint64_t left = parts.values.size();
  for (size_t i = 0; i < parts.flags.size() && left > 0; ++i) {
    encoder.put(parts.flags[i], model.context());
    model.advance(parts.flags[i]);
    left -= parts.flags[i];
  }
  return encoder.finish();
}

Bytes joined(SymbolKind kind, const Split& parts, const Walk& walk, const Bytes& positions, Codec codec) {
  Bytes out{static_cast<uint8_t>(kind), parts.zero};
  put_varint(out, walk.columns << 1 | (walk.is_transposed ? 1 : 0));
  put_varint(out, parts.values.size());
  put_varint(out, positions.size());
  put_bytes(out, positions);
  put_bytes(out, encode_symbols(parts.values, codec, parts.zero));
  return out;
}

std::vector<bool> read_gaps(ByteView coded, uint64_t count, uint64_t num_set) {
  ByteReader reader(coded);
  const int bits = reader.byte();
  if (std::ranges::find(kGapBits, bits) == std::end(kGapBits)) refuse("E1805", "the archive is damaged: the width of gaps");
  const uint32_t escape = (1u << bits) - 1;
  const uint64_t num_gaps = reader.varint();
  if (num_gaps > count) refuse("E1804", "the archive is damaged: more gaps than elements");
  Bytes gaps(num_gaps);
  decode_symbols(reader.rest(), gaps);
  std::vector<bool> flags(count);
  uint64_t at = 0, found = 0;
  for (const uint8_t gap : gaps) {
    if (gap > escape || gap > count - at) refuse("E1805", "the archive is damaged: a gap leads beyond the tensor");
    at += gap;
    if (gap == escape) continue;
    if (at == count) refuse("E1805", "the archive is damaged: a gap leads beyond the tensor");
    flags[at++] = true;
    ++found;
  }
  if (found != num_set) refuse("E1805", "the archive is damaged: the number of gaps");
  return flags;
}

std::vector<bool> read_flags(ByteView coded, uint64_t count, uint64_t num_set, uint64_t row_length) {
  FlagModel model(count, row_length, num_set);
  RangeDecoder decoder(coded);
  std::vector<bool> flags(count);
  for (uint64_t i = 0; i < count && num_set > 0; ++i) {
    const bool is_set = decoder.get(model.context());
    model.advance(is_set);
    flags[i] = is_set;
    num_set -= is_set;
  }
  if (num_set > 0) refuse("E1805", "the archive is damaged: fewer elements than announced");
  decoder.require_end();
  return flags;
}

}  // namespace

bool is_sparse(ByteView coded) { return !coded.empty() && coded[0] >= static_cast<uint8_t>(SymbolKind::sparse_gaps); }

std::optional<Bytes> encode_sparse(ByteView symbols, uint64_t columns, Codec codec) {
  if (symbols.empty() || codec == Codec::zstd) return std::nullopt;
  const Counts counts = count_symbols(symbols);
  const auto most = std::ranges::max_element(counts);
  if (static_cast<double>(*most) < kLeastZeros * static_cast<double>(symbols.size())) return std::nullopt;
  const auto zero = static_cast<uint8_t>(most - counts.begin());
  const bool has_rows = columns > 1 && columns < symbols.size() && symbols.size() % columns == 0;
  std::optional<Bytes> best;
  for (const bool is_transposed : {false, true}) {
    if (is_transposed && !has_rows) break;
    const Walk walk{.count = symbols.size(), .columns = has_rows ? columns : 1, .is_transposed = is_transposed};
    const Split parts = split(symbols, zero, walk);
    Bytes gaps = joined(SymbolKind::sparse_gaps, parts, walk, code_gaps(parts.flags, codec), codec);
    Bytes flags = joined(SymbolKind::sparse_flags, parts, walk, code_flags(parts, walk.row_length()), codec);
    Bytes& own = flags.size() < gaps.size() ? flags : gaps;
    if (!best || own.size() < best->size()) best = std::move(own);
  }
  return best;
}

void decode_sparse(ByteView coded, std::span<uint8_t> symbols) {
  ByteReader reader(coded);
  const auto kind = static_cast<SymbolKind>(reader.byte());
  if (kind != SymbolKind::sparse_gaps && kind != SymbolKind::sparse_flags) refuse("E1805", "the archive is damaged: a part is coded in no known way");
  const uint8_t zero = reader.byte();
  const uint64_t layout = reader.varint(), num_set = reader.varint(), num_positions = reader.varint();
  const Walk walk{.count = symbols.size(), .columns = layout >> 1, .is_transposed = (layout & 1) != 0};
  if (walk.columns == 0 || walk.columns > walk.count || walk.count % walk.columns != 0 || num_set > walk.count) {
    refuse("E1804", "the archive is damaged: the shape of a sparse tensor");
  }
  const ByteView positions = reader.take(num_positions);
  const std::vector<bool> flags = kind == SymbolKind::sparse_gaps ? read_gaps(positions, walk.count, num_set)
                                                                  : read_flags(positions, walk.count, num_set, walk.row_length());
  Bytes values(num_set);
  decode_symbols(reader.rest(), values);
  uint64_t next = 0;
  for (uint64_t i = 0; i < walk.count; ++i) symbols[walk.place(i)] = flags[i] ? values[next++] : zero;
}

}  // namespace niwaki::archive
