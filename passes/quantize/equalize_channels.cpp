#include "passes/quantize/equalize_channels.h"

#include "compress/axes/fold_scales.h"

#include <algorithm>
#include <cmath>
#include <map>

namespace niwaki {
namespace {

constexpr double kSmallest = 1e-3, kLargest = 1e3;   // of a scale

/// The largest weight of each scale over the nodes on one side, beside the largest of its tensor, and that one.
struct Ranges {
  std::vector<double> shares;
  double largest = 0;
  void add(const Tensor& ranges, const std::vector<uint32_t>& places);
};

void Ranges::add(const Tensor& ranges, const std::vector<uint32_t>& places) {
  const double whole = ranges.max().item<double>();
  const Tensor flat = ranges.contiguous();
  for (size_t i = 0; whole > 0 && i < places.size(); ++i) shares[places[i]] = std::max(shares[places[i]], flat.const_data_ptr<double>()[i] / whole);
  largest = std::max(largest, whole);
}

class Equalizer {
 public:
  Equalizer(const Graph& graph, const ChannelScales& found);
  void sweep();
  /// Takes the scales of stretches back that are this alike: the 90th percentile over the 10th.
  void drop_alike(double least_spread);
  /// Nodes that are to be left alone keep their weights.
  void release(const ScaledLayer& layer);
  /// How far apart the scales of a layer's outputs are.
  double spread_of(const std::vector<uint32_t>& places) const;
  const std::vector<double>& scales() const { return scales_; }

 private:
  bool touches(const std::vector<uint32_t>& places, uint32_t stretch) const;
  void equalize(uint32_t stretch);

  const ChannelScales& found_;
  std::vector<Tensor> magnitudes_;           // by layer: max |w| over taps, double [out, in / groups]
  std::vector<double> scales_;
};

Equalizer::Equalizer(const Graph& graph, const ChannelScales& found) : found_(found), scales_(found.num_scales(), 1) {
  for (const ScaledLayer& layer : found.layers) {
    const bool is_scaled = !layer.rows.empty() && !layer.columns.empty();
    magnitudes_.push_back(is_scaled ? weight_by_channels(graph, layer.view).abs().amax(2).to(at::kDouble) : Tensor{});
  }
}

bool Equalizer::touches(const std::vector<uint32_t>& places, uint32_t stretch) const {
  return std::any_of(places.begin(), places.end(), [&](uint32_t place) { return place != 0 && found_.stretches[place] == stretch; });
}

void Equalizer::equalize(uint32_t stretch) {
  Ranges written{std::vector<double>(scales_.size(), 0)}, read{std::vector<double>(scales_.size(), 0)};
  for (size_t i = 0; i < found_.layers.size(); ++i) {
    const ScaledLayer& layer = found_.layers[i];
    const bool writes = touches(layer.rows, stretch), reads = touches(layer.columns, stretch);
    if (!magnitudes_[i].defined() || (!writes && !reads)) continue;
    const Tensor now = magnitudes_[i] * channel_factors(layer, scales_);
    if (writes) written.add(now.amax(1), layer.rows);
    if (reads) read.add(now.reshape({layer.view.groups, -1, now.size(1)}).amax(1).reshape({-1}), layer.columns);
  }
  for (size_t i = 1; i < scales_.size(); ++i) {
    if (found_.stretches[i] != stretch || written.shares[i] == 0 || read.shares[i] == 0) continue;
    const double change = std::sqrt(written.shares[i] * written.largest / (read.shares[i] * read.largest));
    scales_[i] = std::clamp(scales_[i] * change, kSmallest, kLargest);
  }
}

void Equalizer::sweep() {
  const uint32_t count = *std::max_element(found_.stretches.begin(), found_.stretches.end());
  for (uint32_t stretch = 1; stretch <= count; ++stretch) equalize(stretch);
}

double Equalizer::spread_of(const std::vector<uint32_t>& places) const {
  std::vector<double> chosen;
  for (const uint32_t place : places) {
    if (place != 0) chosen.push_back(scales_[place]);
  }
  if (chosen.empty()) return 1;
  std::sort(chosen.begin(), chosen.end());
  return chosen[chosen.size() * 9 / 10] / chosen[chosen.size() / 10];
}

void Equalizer::release(const ScaledLayer& layer) {
  for (const uint32_t place : layer.rows) scales_[place] = 1;
  for (const uint32_t place : layer.columns) scales_[place] = 1;
}

void Equalizer::drop_alike(double least_spread) {
  std::map<uint32_t, std::vector<uint32_t>> places;
  for (uint32_t i = 1; i < scales_.size(); ++i) places[found_.stretches[i]].push_back(i);
  for (const auto& [stretch, members] : places) {
    if (spread_of(members) >= least_spread) continue;
    for (const uint32_t place : members) scales_[place] = 1;
  }
}

/// Largest range of a row over the median row's; 1: all rows are alike.
double spread(const Tensor& rows) {
  const Tensor ranges = rows.abs().amax({1, 2}).to(at::kDouble);
  const Tensor live = ranges.index({ranges > 0});
  return live.numel() == 0 ? 1 : (live.max() / live.median()).item<double>();
}

}  // namespace

void equalize_channels(Graph& graph, const EqualizeChannelsOptions& options, PassContext& context) {
  const ChannelScales found = find_scales(graph, options.split_clips);
  if (found.layers.empty()) return;
  Equalizer equalizer(graph, found);
  context.progress.start("equalize", options.sweeps);
  for (int i = 0; i < options.sweeps; ++i) {
    context.progress.advance();
    equalizer.sweep();
  }
  equalizer.drop_alike(options.least_spread);
  for (const ScaledLayer& layer : found.layers) {
    if (!is_selected(graph, layer.view.node, context.keep, context.only)) equalizer.release(layer);
  }
  std::vector<double> before;
  for (const ScaledLayer& layer : found.layers) before.push_back(layer.rows.empty() ? 1 : spread(weight_by_channels(graph, layer.view)));
  fold_scales(graph, found, equalizer.scales());
  const auto is_moved = [&](uint32_t place) { return equalizer.scales()[place] != 1; };
  for (size_t i = 0; i < found.layers.size(); ++i) {
    const ScaledLayer& layer = found.layers[i];
    const std::string label = graph.label(layer.view.node);
    const bool is_changed = std::any_of(layer.rows.begin(), layer.rows.end(), is_moved) || std::any_of(layer.columns.begin(), layer.columns.end(), is_moved);
    const double scale_spread = equalizer.spread_of(layer.rows);
    if (is_changed) context.report.change(label, {{"spread_before", before[i]}, {"spread_after", spread(weight_by_channels(graph, layer.view))}, {"scale_spread", scale_spread}});
    else context.report.skip(label, layer.reason.empty() ? "its channels are alike already, or nothing reads them" : layer.reason);
  }
}

}  // namespace niwaki
