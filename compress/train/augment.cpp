#include "compress/train/augment.h"

#include "compress/error.h"
#include "compress/random.h"

#include <algorithm>
#include <cstring>

namespace niwaki {
namespace {

struct Move {
  bool is_flipped = false;
  int64_t down = 0, right = 0;
};

Move drawn(const Augment& augment, uint64_t seed, int64_t epoch, int64_t sample) {
  Generator generator(seed, cat("augment ", epoch, " ", sample));
  Move move;
  if (augment.flip) move.is_flipped = (generator.next() >> 63) != 0;
  if (augment.crop > 0) {
    const auto places = static_cast<uint64_t>(2 * augment.crop + 1);
    move.down = static_cast<int64_t>(generator.below(places)) - augment.crop;
    move.right = static_cast<int64_t>(generator.below(places)) - augment.crop;
  }
  return move;
}

/// Where pixel `i` of a moved line comes from: beyond its edges the line is mirrored.
int64_t mirrored(int64_t i, int64_t size) {
  if (size == 1) return 0;
  const int64_t period = 2 * size - 2, place = ((i % period) + period) % period;
  return place < size ? place : period - place;
}

bool is_channel_count(int64_t size) { return size == 1 || size == 3 || size == 4; }

/// An image as planes [planes, rows, columns] of pixels of so many bytes.
struct Layout {
  int64_t planes, rows, columns;
  size_t pixel_bytes;
};

Layout layout_of(const Tensor& images) {
  const auto item = static_cast<size_t>(images.element_size());
  const bool is_channels_last = is_channel_count(images.size(3)) && !is_channel_count(images.size(1));
  if (is_channels_last) return {1, images.size(1), images.size(2), item * static_cast<size_t>(images.size(3))};
  return {images.size(1), images.size(2), images.size(3), item};
}

void move_image(const std::byte* from, std::byte* to, const Layout& layout, const Move& move) {
  std::vector<size_t> columns;
  for (int64_t i = 0; i < layout.columns; ++i) {
    const int64_t column = mirrored((move.is_flipped ? layout.columns - 1 - i : i) + move.right, layout.columns);
    columns.push_back(static_cast<size_t>(column) * layout.pixel_bytes);
  }
  const size_t line = static_cast<size_t>(layout.columns) * layout.pixel_bytes;
  for (int64_t plane = 0; plane < layout.planes; ++plane) {
    for (int64_t row = 0; row < layout.rows; ++row, to += line) {
      const std::byte* source = from + static_cast<size_t>(plane * layout.rows + mirrored(row + move.down, layout.rows)) * line;
      if (layout.pixel_bytes == sizeof(float)) {
        for (size_t i = 0; i < columns.size(); ++i) std::memcpy(to + i * sizeof(float), source + columns[i], sizeof(float));
      } else {
        for (size_t i = 0; i < columns.size(); ++i) std::memcpy(to + i * layout.pixel_bytes, source + columns[i], layout.pixel_bytes);
      }
    }
  }
}

}  // namespace

RunValues augmented(const RunValues& inputs, std::span<const int64_t> samples, const Augment& augment, uint64_t seed, int64_t epoch) {
  if (!augment.is_on()) return inputs;
  RunValues changed = inputs;
  for (RunValue& value : changed) {
    if (!value.tensor.defined() || value.tensor.dim() != 4 || value.tensor.size(0) < static_cast<int64_t>(samples.size())) continue;
    const Tensor images = value.tensor.contiguous();
    Tensor moved = images.clone();
    const Layout layout = layout_of(images);
    const size_t bytes = images.nbytes() / static_cast<size_t>(std::max<int64_t>(images.size(0), 1));
    for (size_t i = 0; i < samples.size() && bytes > 0; ++i) {
      move_image(static_cast<const std::byte*>(images.const_data_ptr()) + i * bytes, static_cast<std::byte*>(moved.mutable_data_ptr()) + i * bytes,
                 layout, drawn(augment, seed, epoch, samples[i]));
    }
    value.tensor = moved;
  }
  return changed;
}

}  // namespace niwaki
