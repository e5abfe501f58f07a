#include "formats/archive/tensor_stream.h"

#include "formats/archive/element_bytes.h"
#include "formats/archive/frequency_model.h"
#include "formats/archive/sparse_stream.h"

#include <algorithm>
#include <optional>

namespace niwaki::archive {
namespace {

constexpr size_t kMostColors = 256;

Bytes encode_bytes(ByteView symbols, uint64_t columns, Codec codec) {
  Bytes best = encode_symbols(symbols, codec);
  if (auto sparse = encode_sparse(symbols, columns, codec); sparse && sparse->size() < best.size()) best = std::move(*sparse);
  return best;
}

void decode_bytes(ByteView coded, std::span<uint8_t> symbols) {
  if (is_sparse(coded)) return decode_sparse(coded, symbols);
  decode_symbols(coded, symbols);
}

Bytes framed(TensorKind kind, const Bytes& body) {
  Bytes out{static_cast<uint8_t>(kind)};
  put_bytes(out, body);
  return out;
}

void put_part(Bytes& out, const Bytes& part) {
  put_varint(out, part.size());
  put_bytes(out, part);
}

Bytes encode_planes(ByteView payload, const ElementLayout& layout, Codec codec) {
  const int width = layout.bits / 8;
  const Bytes turned = layout.is_float ? rotate_left(payload, width) : Bytes(payload.begin(), payload.end());
  Bytes out{static_cast<uint8_t>(layout.is_float ? TensorKind::rotated_planes : TensorKind::planes), static_cast<uint8_t>(width)};
  for (int i = 0; i < width; ++i) put_part(out, encode_bytes(plane(turned, width, i), layout.columns, codec));
  return out;
}

void decode_planes(ByteReader& reader, bool is_rotated, std::span<uint8_t> payload) {
  const int width = reader.byte();
  if ((width != 2 && width != 4 && width != 8) || payload.size() % width != 0) refuse("E1804", "the archive is damaged: the width of elements");
  Bytes own(payload.size() / width);
  for (int i = 0; i < width; ++i) {
    decode_bytes(reader.take(reader.varint()), own);
    for (size_t k = 0; k < own.size(); ++k) payload[k * width + i] = own[k];
  }
  reader.require_end();
  if (is_rotated) rotate_right(payload, width);
}

std::optional<Bytes> encode_palette(ByteView payload, const ElementLayout& layout, Codec codec) {
  const int width = layout.bits / 8;
  const auto colors = distinct_elements(payload, width, kMostColors);
  if (!colors) return std::nullopt;
  const Bytes palette = joined_elements(*colors, width);
  const ElementLayout plain{.bits = layout.bits, .is_float = layout.is_float};
  Bytes coded = framed(TensorKind::bytes, encode_symbols(palette, codec));
  if (Bytes planes = encode_planes(palette, plain, codec); planes.size() < coded.size()) coded = std::move(planes);
  Bytes out{static_cast<uint8_t>(TensorKind::palette), static_cast<uint8_t>(width), static_cast<uint8_t>(colors->size() - 1)};
  put_part(out, coded);
  put_bytes(out, encode_bytes(indices_of(payload, width, *colors), layout.columns, codec));
  return out;
}

void decode_palette(ByteReader& reader, std::span<uint8_t> payload) {
  const int width = reader.byte();
  const size_t num_colors = size_t{1} + reader.byte();
  if ((width != 2 && width != 4 && width != 8) || payload.size() % width != 0) refuse("E1804", "the archive is damaged: the width of elements");
  const ByteView coded = reader.take(reader.varint());
  // a palette of palettes could nest without end
  if (!coded.empty() && coded[0] == static_cast<uint8_t>(TensorKind::palette)) refuse("E1805", "the archive is damaged: a palette in a palette");
  Bytes palette(num_colors * width), indices(payload.size() / width);
  decode_tensor(coded, palette);
  decode_bytes(reader.rest(), indices);
  for (size_t i = 0; i < indices.size(); ++i) {
    if (indices[i] >= num_colors) refuse("E1805", "the archive is damaged: an index beyond its palette");
    std::copy_n(palette.begin() + indices[i] * width, width, payload.begin() + i * width);
  }
}

}  // namespace

Bytes encode_tensor(ByteView payload, const ElementLayout& layout, Codec codec) {
  const bool is_wide = layout.bits >= 16 && payload.size() % (layout.bits / 8) == 0 && !payload.empty();
  const uint64_t columns = is_wide ? layout.columns * (layout.bits / 8) : layout.columns * layout.bits / 8;
  Bytes best = framed(TensorKind::bytes, is_wide ? encode_symbols(payload, codec) : encode_bytes(payload, columns, codec));
  const auto keep_smaller = [&](Bytes other) {
    if (other.size() < best.size()) best = std::move(other);
  };
  if (layout.bits == 4 && codec != Codec::zstd) keep_smaller(framed(TensorKind::nibbles, encode_bytes(nibbles(payload), layout.columns, codec)));
  if (!is_wide || codec == Codec::zstd) return best;
  keep_smaller(encode_planes(payload, layout, codec));
  if (auto palette = encode_palette(payload, layout, codec)) keep_smaller(std::move(*palette));
  return best;
}

void decode_tensor(ByteView coded, std::span<uint8_t> payload) {
  ByteReader reader(coded);
  const auto kind = static_cast<TensorKind>(reader.byte());
  if (kind == TensorKind::bytes) {
    decode_bytes(reader.rest(), payload);
  } else if (kind == TensorKind::nibbles) {
    Bytes symbols(payload.size() * 2);
    decode_bytes(reader.rest(), symbols);
    join_nibbles(symbols, payload);
  } else if (kind == TensorKind::palette) {
    decode_palette(reader, payload);
  } else if (kind == TensorKind::planes || kind == TensorKind::rotated_planes) {
    decode_planes(reader, kind == TensorKind::rotated_planes, payload);
  } else {
    refuse("E1805", "the archive is damaged: a tensor is coded in no known way");
  }
}

double entropy_floor(ByteView payload, const ElementLayout& layout) {
  if (layout.bits == 4) return entropy_bytes(count_symbols(nibbles(payload)));
  if (layout.bits < 16 || payload.size() % (layout.bits / 8) != 0) return entropy_bytes(count_symbols(payload));
  const int width = layout.bits / 8;
  if (const auto colors = distinct_elements(payload, width, kMostColors)) return entropy_bytes(count_symbols(indices_of(payload, width, *colors)));
  double total = 0;
  for (int i = 0; i < width; ++i) total += entropy_bytes(count_symbols(plane(payload, width, i)));
  return total;
}

std::string kind_text(ByteView coded) {
  static constexpr const char* kKinds[] = {"bytes", "nibbles", "palette", "planes", "planes"};
  static constexpr const char* kSymbols[] = {"raw", "zstd", "rans table", "rans shape", "adaptive", "sparse gaps", "sparse flags"};
  if (coded.empty() || coded[0] > 4) return "?";
  const std::string kind = kKinds[coded[0]];
  if (coded[0] > 2) return kind;
  ByteReader reader(coded.subspan(1));
  if (coded[0] == 2) {
    reader.take(2);
    reader.take(reader.varint());
  }
  const uint8_t symbols = reader.byte();
  return symbols > 6 ? kind : cat(kind, ", ", kSymbols[symbols]);
}

}  // namespace niwaki::archive
