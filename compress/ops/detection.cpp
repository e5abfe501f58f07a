#include "compress/ops/op_arguments.h"

#include <algorithm>
#include <cmath>

namespace niwaki {
namespace {

struct Box {
  float y1, x1, y2, x2;
  float area() const { return (y2 - y1) * (x2 - x1); }
};

Box read_box(const float* numbers, bool is_center) {
  if (is_center) {                               // x, y, width, height
    return {numbers[1] - numbers[3] / 2, numbers[0] - numbers[2] / 2, numbers[1] + numbers[3] / 2, numbers[0] + numbers[2] / 2};
  }
  return {std::min(numbers[0], numbers[2]), std::min(numbers[1], numbers[3]), std::max(numbers[0], numbers[2]),
          std::max(numbers[1], numbers[3])};
}

float overlap(const Box& a, const Box& b) {      // intersection over union
  const float height = std::min(a.y2, b.y2) - std::max(a.y1, b.y1), width = std::min(a.x2, b.x2) - std::max(a.x1, b.x1);
  if (height <= 0 || width <= 0 || a.area() <= 0 || b.area() <= 0) return 0;
  const float shared = height * width;
  return shared / (a.area() + b.area() - shared);
}

struct Suppression {
  int64_t most;
  float overlap_limit;
  std::optional<float> least_score;
};

/// Boxes of one class, best first; of equal scores the lower index wins.
std::vector<int64_t> select_boxes(const std::vector<Box>& boxes, const float* scores, const Suppression& rules) {
  std::vector<int64_t> order, chosen;
  for (int64_t i = 0; i < static_cast<int64_t>(boxes.size()); ++i) {
    if (!rules.least_score || scores[i] > *rules.least_score) order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(), [scores](int64_t a, int64_t b) { return scores[a] > scores[b]; });
  for (const int64_t i : order) {
    if (static_cast<int64_t>(chosen.size()) >= rules.most) break;
    const bool is_new = std::none_of(chosen.begin(), chosen.end(), [&](int64_t other) {
      return overlap(boxes[static_cast<size_t>(i)], boxes[static_cast<size_t>(other)]) > rules.overlap_limit;
    });
    if (is_new) chosen.push_back(i);
  }
  return chosen;
}

float float_input(const OpCall& call, size_t i, float otherwise) {
  return call.has(i) && call.tensor(i).numel() > 0 ? call.tensor(i).reshape({-1})[0].item<float>() : otherwise;
}

RunValues non_max_suppression(const OpCall& call) {
  const Tensor boxes = call.tensor(0).detach().to(at::kCPU, at::kFloat).contiguous();      // [batch, boxes, 4]
  const Tensor scores = call.tensor(1).detach().to(at::kCPU, at::kFloat).contiguous();     // [batch, classes, boxes]
  if (boxes.dim() != 3 || scores.dim() != 3 || boxes.size(2) != 4 || boxes.size(0) != scores.size(0) || boxes.size(1) != scores.size(2)) {
    refuse(call, cat("boxes ", shape_text(boxes.sizes()), ", scores ", shape_text(scores.sizes())));
  }
  Suppression rules{call.has(2) ? std::max<int64_t>(int_input(call, 2), 0) : 0, float_input(call, 3, 0), {}};
  if (call.has(4) && call.tensor(4).numel() > 0) rules.least_score = float_input(call, 4, 0);
  const bool is_center = call.attribute("center_point_box", 0) != 0;
  std::vector<int64_t> selected;
  for (int64_t b = 0; b < boxes.size(0); ++b) {
    std::vector<Box> all;
    for (int64_t i = 0; i < boxes.size(1); ++i) all.push_back(read_box(boxes.const_data_ptr<float>() + (b * boxes.size(1) + i) * 4, is_center));
    for (int64_t c = 0; c < scores.size(1); ++c) {
      for (const int64_t i : select_boxes(all, scores.const_data_ptr<float>() + (b * scores.size(1) + c) * scores.size(2), rules)) {
        selected.insert(selected.end(), {b, c, i});
      }
    }
  }
  return {at::tensor(selected, at::kLong).reshape({-1, 3})};
}

/// Where samples lie along one axis of a map of `size`: both neighbours and the share of the far one.
struct Neighbours {
  Tensor low, high, share, inside;               // [samples]
};

Neighbours neighbours(const Tensor& place, int64_t size) {
  const Tensor inside = at::logical_and(place >= -1, place <= size);
  const Tensor at = place.clamp(0, static_cast<double>(size - 1));
  const Tensor low = at.floor();
  return {low.to(at::kLong), (low + 1).clamp_max(static_cast<double>(size - 1)).to(at::kLong), at - low, inside.to(place.scalar_type())};
}

struct Pooling {
  int64_t height, width, ratio;
  double scale, offset;
  bool is_max;
};

/// One region of x [channels, h, w] as [channels, height, width].
Tensor align(const Tensor& x, const float* roi, const Pooling& to) {
  const double x1 = roi[0] * to.scale - to.offset, y1 = roi[1] * to.scale - to.offset;
  double width = roi[2] * to.scale - to.offset - x1, height = roi[3] * to.scale - to.offset - y1;
  if (to.offset == 0) {
    width = std::max(width, 1.0);
    height = std::max(height, 1.0);
  }
  const double bin_h = height / static_cast<double>(to.height), bin_w = width / static_cast<double>(to.width);
  const int64_t grid_h = to.ratio > 0 ? to.ratio : static_cast<int64_t>(std::ceil(bin_h));
  const int64_t grid_w = to.ratio > 0 ? to.ratio : static_cast<int64_t>(std::ceil(bin_w));
  if (grid_h <= 0 || grid_w <= 0) return at::zeros({x.size(0), to.height, to.width}, x.options());
  const auto sample = [&](int64_t bins, int64_t grid, double start, double bin) {
    return (at::arange(bins * grid, x.options()) + 0.5) * (bin / static_cast<double>(grid)) + start;
  };
  const Neighbours v = neighbours(sample(to.height, grid_h, y1, bin_h), x.size(1));
  const Neighbours h = neighbours(sample(to.width, grid_w, x1, bin_w), x.size(2));
  const Tensor upper = x.index_select(1, v.low), lower = x.index_select(1, v.high);
  const Tensor inside = v.inside.unsqueeze(1) * h.inside;
  const Tensor down = v.share.unsqueeze(1), right = h.share;
  const std::vector<Tensor> corners{upper.index_select(2, h.low) * ((1 - down) * (1 - right) * inside),
                                    upper.index_select(2, h.high) * ((1 - down) * right * inside),
                                    lower.index_select(2, h.low) * (down * (1 - right) * inside),
                                    lower.index_select(2, h.high) * (down * right * inside)};
  const auto bins = [&](const Tensor& y) { return y.reshape({x.size(0), to.height, grid_h, to.width, grid_w}); };
  if (to.is_max) return bins(at::stack(corners).amax(0)).amax({2, 4});
  return bins(corners[0] + corners[1] + corners[2] + corners[3]).mean({2, 4});
}

RunValues roi_align(const OpCall& call) {
  const Tensor& x = call.tensor(0);              // [n, channels, h, w]
  const Tensor rois = call.tensor(1).detach().to(at::kCPU, at::kFloat).contiguous();       // [regions, 4]
  const std::vector<int64_t> batch = call.ints(2);
  const std::string mode = string_attribute(call.node, "mode", "avg");
  if (x.dim() != 4 || rois.dim() != 2 || rois.size(1) != 4 || rois.size(0) != static_cast<int64_t>(batch.size())) {
    refuse(call, cat("sizes ", shape_text(x.sizes()), ", regions ", shape_text(rois.sizes()), ", ", batch.size(), " batch indices"));
  }
  if (mode != "avg" && mode != "max") refuse(call, cat("unknown mode '", printable(mode), "'"));
  // before opset 16 there is no attribute, and coordinates are taken as they are
  const std::string transform =
      string_attribute(call.node, "coordinate_transformation_mode", call.opset < 16 ? "output_half_pixel" : "half_pixel");
  const Pooling to{call.attribute("output_height", 1), call.attribute("output_width", 1), call.attribute("sampling_ratio", 0),
                   float_attribute(call.node, "spatial_scale", 1.0F), transform == "half_pixel" ? 0.5 : 0.0, mode == "max"};
  check_sizes(call, {rois.size(0), x.size(1), to.height, to.width});
  std::vector<Tensor> regions;
  for (int64_t i = 0; i < rois.size(0); ++i) {
    const int64_t sample = batch[static_cast<size_t>(i)];
    if (sample < 0 || sample >= x.size(0)) refuse(call, cat("batch index ", sample, " of ", x.size(0)));
    regions.push_back(align(x[sample], rois.const_data_ptr<float>() + 4 * i, to));
  }
  return {regions.empty() ? at::empty({0, x.size(1), to.height, to.width}, x.options()) : at::stack(regions)};
}

RunValues grid_sample(const OpCall& call) {
  const Tensor& x = call.tensor(0);              // [n, channels, ...]
  const Tensor grid = call.tensor(1).to(x.scalar_type());
  const std::string mode = string_attribute(call.node, "mode", "linear");
  const std::string padding = string_attribute(call.node, "padding_mode", "zeros");
  const int64_t method = mode == "nearest" ? 1 : (mode == "cubic" || mode == "bicubic" ? 2 : 0);
  const int64_t edge = padding == "border" ? 1 : (padding == "reflection" ? 2 : 0);
  const bool is_aligned = call.attribute("align_corners", 0) != 0;
  if (x.dim() == 4) return {at::grid_sampler_2d(x, grid, method, edge, is_aligned)};
  if (x.dim() == 5 && method != 2) return {at::grid_sampler_3d(x, grid, method, edge, is_aligned)};
  refuse_unsupported(call, cat("mode '", printable(mode), "' of a tensor of rank ", x.dim()));
}

}  // namespace

std::span<const OpEntry> detection_ops() {
  static const OpEntry entries[] = {
      {"", "GridSample", grid_sample}, {"", "NonMaxSuppression", non_max_suppression}, {"", "RoiAlign", roi_align}};
  return entries;
}

}  // namespace niwaki
