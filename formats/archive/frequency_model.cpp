#include "formats/archive/frequency_model.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "formats/archive/bit_stream.h"

namespace niwaki::archive {
namespace {

constexpr int kSmallLog2 = 12, kLargeLog2 = 14;
constexpr int kSmallAlphabet = 64;           // most symbols of the small scale
constexpr int kLargestScale = 191;

/// 16-bit fractions of log2(f): integers, so that every machine chooses alike.
const std::vector<int64_t>& log2_table() {
  static const std::vector<int64_t> table = [] {
    std::vector<int64_t> values((size_t{1} << kLargeLog2) + 1);
    for (size_t f = 1; f < values.size(); ++f) values[f] = std::llround(std::log2(static_cast<double>(f)) * 65536);
    return values;
  }();
  return table;
}

uint64_t total_of(const Counts& counts) {
  uint64_t total = 0;
  for (const uint64_t count : counts) total += count;
  return total;
}

/// What a symbol gains, times 2^16, by one more of the scale.
int64_t gain(uint64_t count, uint32_t frequency) {
  return static_cast<int64_t>(count) * (log2_table()[frequency + 1] - log2_table()[frequency]);
}

int best_to_raise(const Counts& counts, const Frequencies& table) {
  int best = -1;
  int64_t most = -1;
  for (int i = 0; i < 256; ++i) {
    if (counts[i] == 0 || table.of[i] >= 1 << table.log2_total) continue;
    const int64_t own = gain(counts[i], table.of[i]);
    if (own > most) best = i, most = own;
  }
  return best;
}

int best_to_lower(const Counts& counts, const Frequencies& table) {
  int best = -1;
  int64_t least = 0;
  for (int i = 0; i < 256; ++i) {
    if (table.of[i] < 2) continue;
    const int64_t own = gain(counts[i], table.of[i] - 1u);
    if (best < 0 || own < least) best = i, least = own;
  }
  return best;
}

void settle(const Counts& counts, Frequencies& table) {
  int64_t sum = 0;
  for (const uint16_t frequency : table.of) sum += frequency;
  const int64_t total = int64_t{1} << table.log2_total;
  for (; sum < total; ++sum) ++table.of[best_to_raise(counts, table)];
  for (; sum > total; --sum) --table.of[best_to_lower(counts, table)];
  for (int moves = 0; moves < 1024; ++moves) {
    const int up = best_to_raise(counts, table), down = best_to_lower(counts, table);
    if (up < 0 || down < 0 || up == down) return;
    if (gain(counts[up], table.of[up]) <= gain(counts[down], table.of[down] - 1u)) return;
    ++table.of[up];
    --table.of[down];
  }
}

uint32_t zigzag(int64_t value) { return static_cast<uint32_t>(value < 0 ? -2 * value - 1 : 2 * value); }
int64_t unzigzag(uint32_t value) { return value & 1 ? -(int64_t{value} + 1) / 2 : int64_t{value} / 2; }

/// Writes the support and the differences with Exp-Golomb codes of this order.
void write_differences(BitWriter& bits, const Frequencies& table, int low, int high, bool has_gaps, int order) {
  int64_t before = 0;
  for (int i = low; i <= high; ++i) {
    if (has_gaps) bits.put(table.of[i] > 0, 1);
    if (table.of[i] == 0) continue;
    bits.put_golomb(zigzag(table.of[i] - before), order);
    before = table.of[i];
  }
}

uint64_t root(uint64_t value) {
  uint64_t low = 0, high = 1 << 16;
  while (low < high) {
    const uint64_t middle = (low + high + 1) / 2;
    if (middle * middle <= value) low = middle;
    else high = middle - 1;
  }
  return low;
}

/// 2^30 * 2^(-i / 32).
constexpr std::array<uint32_t, 32> kPowers = {
    1073741824, 1050733751, 1028218693, 1006186087, 984625594, 963527098, 942880699, 922676710,
    902905651,  883558244,  864625413,  846098274,  827968132, 810226483, 792865000, 775875538,
    759250125,  742980960,  727060411,  711481005,  696235434, 681316545, 666717336, 652430958,
    638450708,  624770026,  611382493,  598281827,  585461881, 572916640, 560640218, 548626854};

uint64_t weight_at(uint64_t distance, const Shape& shape) {
  const uint64_t scale = uint64_t{16u + (shape.scale & 15u)} << (shape.scale >> 4);
  const uint64_t cube = distance * distance * distance;
  const uint64_t base = shape.power == 0 ? distance << 4 : shape.power == 1 ? root(cube << 8) : distance * distance << 4;
  const uint64_t exponent = base * scale >> (12 + 3 * shape.power);
  return exponent >= 30 * 32 ? 0 : kPowers[exponent % 32] >> (exponent / 32);
}

uint8_t place_of(int symbol, uint8_t center) { return static_cast<uint8_t>(symbol - center + 128); }
bool is_in(const Shape& shape, uint8_t place) {
  return place >= shape.low && place <= shape.high && !(shape.skips_center && place == 128);
}

/// The shape of least cost among every `step`-th scale from `first` to `last`.
void improve(const Counts& counts, Shape shape, int first, int last, int step, Shape& best, uint64_t& least) {
  for (int scale = std::max(first, 0); scale <= std::min(last, kLargestScale); scale += step) {
    shape.scale = static_cast<uint8_t>(scale);
    const uint64_t own = cost(counts, frequencies_of(shape));
    if (own < least) best = shape, least = own;
  }
}

Shape framed(const Counts& counts, uint8_t center) {
  Shape shape{.skips_center = counts[center] == 0, .center = center, .low = 255, .high = 0};
  for (int i = 0; i < 256; ++i) {
    if (counts[i] == 0) continue;
    shape.low = std::min(shape.low, place_of(i, center));
    shape.high = std::max(shape.high, place_of(i, center));
  }
  return shape;
}

}  // namespace

Counts count_symbols(ByteView symbols) {
  Counts counts{};
  for (const uint8_t symbol : symbols) ++counts[symbol];
  return counts;
}

uint64_t cost(const Counts& counts, const Frequencies& table) {
  int64_t total = 0;
  for (int i = 0; i < 256; ++i) {
    if (counts[i] == 0) continue;
    total += static_cast<int64_t>(counts[i]) * (int64_t{table.log2_total} * 65536 - log2_table()[table.of[i]]);
  }
  return static_cast<uint64_t>(total);
}

double entropy_bytes(const Counts& counts) {
  const double total = static_cast<double>(total_of(counts));
  double bits = 0;
  for (const uint64_t count : counts) {
    if (count > 0) bits -= static_cast<double>(count) * std::log2(static_cast<double>(count) / total);
  }
  return bits / 8;
}

Frequencies fit_frequencies(const Counts& counts) {
  const uint64_t total = total_of(counts);
  const auto alphabet = std::count_if(counts.begin(), counts.end(), [](uint64_t count) { return count > 0; });
  Frequencies table{.log2_total = alphabet <= kSmallAlphabet ? kSmallLog2 : kLargeLog2};
  for (int i = 0; i < 256; ++i) {
    if (counts[i] == 0) continue;
    const double share = std::ldexp(static_cast<double>(counts[i]) / static_cast<double>(total), table.log2_total);
    table.of[i] = static_cast<uint16_t>(std::max(1.0, std::floor(share)));
  }
  if (total > 0) settle(counts, table);
  return table;
}

void write_frequencies(Bytes& out, const Frequencies& table) {
  int low = 0, high = 255;
  while (low < 255 && table.of[low] == 0) ++low;
  while (high > low && table.of[high] == 0) --high;
  const bool has_gaps = std::count(table.of.begin() + low, table.of.begin() + high + 1, 0) > 0;
  std::optional<Bytes> best;
  int best_order = 0;
  for (int order = 0; order < 14; ++order) {
    BitWriter bits;
    write_differences(bits, table, low, high, has_gaps, order);
    Bytes own = bits.finish();
    if (!best || own.size() < best->size()) best = std::move(own), best_order = order;
  }
  out.push_back(static_cast<uint8_t>((table.log2_total == kLargeLog2 ? 1 : 0) | (has_gaps ? 2 : 0) | best_order << 2));
  out.push_back(static_cast<uint8_t>(low));
  out.push_back(static_cast<uint8_t>(high));
  put_bytes(out, *best);
}

Frequencies read_frequencies(ByteReader& reader) {
  const uint8_t head = reader.byte();
  const int low = reader.byte(), high = reader.byte(), order = head >> 2;
  Frequencies table{.log2_total = head & 1 ? kLargeLog2 : kSmallLog2};
  const int64_t total = int64_t{1} << table.log2_total;
  if (order >= 14 || low > high) refuse("E1805", "the archive is damaged: the head of an entropy table");
  BitReader bits(reader);
  int64_t before = 0, sum = 0;
  for (int i = low; i <= high; ++i) {
    if ((head & 2) && bits.get(1) == 0) continue;
    before += unzigzag(bits.get_golomb(order));
    if (before < 1 || before > total) refuse("E1805", "the archive is damaged: a frequency beyond its scale");
    table.of[i] = static_cast<uint16_t>(before);
    sum += before;
  }
  if (sum != total) refuse("E1805", cat("the archive is damaged: an entropy table sums to ", sum, ", not ", total));
  return table;
}

Frequencies frequencies_of(const Shape& shape) {
  Frequencies table{.log2_total = kLargeLog2};
  std::array<uint64_t, 256> weights{};
  uint64_t sum = 0, alphabet = 0;
  int largest = -1;
  for (int i = 0; i < 256; ++i) {
    const uint8_t place = place_of(i, shape.center);
    if (!is_in(shape, place)) continue;
    weights[i] = weight_at(place < 128 ? 128u - place : place - 128u, shape);
    sum += weights[i];
    ++alphabet;
    if (largest < 0 || weights[i] > weights[largest]) largest = i;
  }
  if (alphabet == 0) refuse("E1805", "the archive is damaged: an entropy table without symbols");
  const uint64_t total = uint64_t{1} << kLargeLog2;
  uint64_t given = 0;
  for (int i = 0; i < 256; ++i) {
    if (!is_in(shape, place_of(i, shape.center))) continue;
    table.of[i] = static_cast<uint16_t>(1 + (sum == 0 ? 0 : weights[i] * (total - alphabet) / sum));
    given += table.of[i];
  }
  table.of[largest] = static_cast<uint16_t>(table.of[largest] + (total - given));
  return table;
}

Shape fit_shape(const Counts& counts, uint8_t center_hint) {
  const auto most = static_cast<uint8_t>(std::max_element(counts.begin(), counts.end()) - counts.begin());
  Shape best = framed(counts, center_hint);
  uint64_t least = ~uint64_t{0};
  for (const uint8_t center : {center_hint, most, uint8_t{0}, uint8_t{128}}) {
    Shape shape = framed(counts, center);
    for (uint8_t power = 0; power < 3; ++power) {
      shape.power = power;
      improve(counts, shape, 0, kLargestScale, 6, best, least);
    }
  }
  const Shape found = best;
  improve(counts, found, found.scale - 5, found.scale + 5, 1, best, least);
  return best;
}

void write_shape(Bytes& out, const Shape& shape) {
  put_bytes(out, Bytes{static_cast<uint8_t>(shape.power | (shape.skips_center ? 4 : 0)), shape.center, shape.low, shape.high, shape.scale});
}

Shape read_shape(ByteReader& reader) {
  const uint8_t head = reader.byte();
  Shape shape{.power = static_cast<uint8_t>(head & 3), .skips_center = (head & 4) != 0};
  shape.center = reader.byte();
  shape.low = reader.byte();
  shape.high = reader.byte();
  shape.scale = reader.byte();
  if (head > 6 || shape.power > 2 || shape.low > shape.high || shape.scale > kLargestScale) {
    refuse("E1805", "the archive is damaged: the head of an entropy table");
  }
  return shape;
}

}  // namespace niwaki::archive
