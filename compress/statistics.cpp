#include "compress/statistics.h"

#include "compress/error.h"
#include "compress/parallel.h"

namespace niwaki {
namespace {

/// Sum over samples and output positions of the columns that a linear node reads: double [groups * in].
Tensor column_sums(const Graph& graph, const LinearView& view, const Tensor& input, int64_t& positions) {
  const Tensor x = input.to(at::kDouble);
  if (view.kind != LinearKind::conv) {
    const int64_t axis = view.kind == LinearKind::matmul && view.weight_index == 0 ? x.dim() - 2 : x.dim() - 1;
    const int64_t features = x.size(axis);
    positions += x.numel() / std::max<int64_t>(features, 1);
    return x.movedim(axis, -1).reshape({-1, features}).sum(0);
  }
  const Node& node = graph.node(view.node);
  const auto& weight = graph.constant(view.weight)->sizes;
  const size_t axes = weight.size() - 2;
  std::vector<int64_t> strides = ints_attribute(node, "strides"), dilations = ints_attribute(node, "dilations");
  std::vector<int64_t> pads = ints_attribute(node, "pads");
  strides.resize(axes, 1);
  dilations.resize(axes, 1);
  pads.resize(2 * axes, 0);
  if (dilations == std::vector<int64_t>(axes, 0)) dilations.assign(axes, 1);
  Tensor map = x.sum(0);                                            // [C, spatial...]
  std::vector<int64_t> sizes(axes), outs(axes);
  const std::string auto_pad = string_attribute(node, "auto_pad", "NOTSET");
  for (size_t i = 0; i < axes; ++i) {
    const int64_t reach = (weight[i + 2] - 1) * dilations[i] + 1, size = map.size(static_cast<int64_t>(i) + 1);
    if (auto_pad == "SAME_UPPER" || auto_pad == "SAME_LOWER") {
      const int64_t total = std::max<int64_t>(0, ((size + strides[i] - 1) / strides[i] - 1) * strides[i] + reach - size);
      pads[i] = auto_pad == "SAME_UPPER" ? total / 2 : total - total / 2;
      pads[axes + i] = total - pads[i];
    }
    outs[i] = (size + pads[i] + pads[axes + i] - reach) / strides[i] + 1;
  }
  std::vector<int64_t> widths;                                      // last axis first, as ATen pads
  for (size_t i = axes; i-- > 0;) widths.insert(widths.end(), {pads[i], pads[axes + i]});
  map = at::constant_pad_nd(map, widths, 0);
  int64_t taps = 1, count = 1;
  for (size_t i = 0; i < axes; ++i) {
    taps *= weight[i + 2];
    count *= outs[i];
  }
  Tensor sums = at::empty({map.size(0), taps}, at::kDouble);
  for (int64_t tap = 0; tap < taps; ++tap) {
    Tensor seen = map;
    for (size_t i = axes, rest = static_cast<size_t>(tap); i-- > 0; rest /= static_cast<size_t>(weight[i + 2])) {
      const int64_t from = static_cast<int64_t>(rest % static_cast<size_t>(weight[i + 2])) * dilations[i];
      seen = seen.slice(static_cast<int64_t>(i) + 1, from, from + (outs[i] - 1) * strides[i] + 1, strides[i]);
    }
    sums.select(1, tap).copy_(seen.reshape({map.size(0), -1}).sum(1));
  }
  positions += count * x.size(0);
  return sums.reshape({-1});                                        // (c, kh, kw), groups one after the other
}

void add_channels(ChannelSums& sums, const Tensor& numbers, int64_t axis) {
  const Tensor x = numbers.to(at::kDouble).movedim(axis, 0).reshape({numbers.size(axis), -1});
  const Tensor magnitude = x.abs();
  const bool is_first = sums.count == 0;
  sums.sum = is_first ? x.sum(1) : sums.sum + x.sum(1);
  sums.sum_absolute = is_first ? magnitude.sum(1) : sums.sum_absolute + magnitude.sum(1);
  sums.sum_square = is_first ? (x * x).sum(1) : sums.sum_square + (x * x).sum(1);
  const Tensor largest = x.size(1) > 0 ? magnitude.amax(1) : at::zeros({x.size(0)}, at::kDouble);
  sums.max_absolute = is_first ? largest : at::maximum(sums.max_absolute, largest);
  sums.count += x.size(1);
}

}  // namespace

/// One batch's share of the statistics, and the joining of shares.
class Collector {
 public:
  Collector(const Graph& graph, const Wanted& wanted) : graph_(graph), wanted_(wanted) {
    for (const LinearView& view : wanted.input_means) means_[view.input].push_back(&view);
  }

  Statistics one(const Executor& executor, const Dataset::Batch& batch) const {
    Statistics found;
    found.num_samples_ = batch.count;
    if (batch.count == 0) return found;
    const int64_t rows = batch.inputs.empty() || !batch.inputs[0].tensor.defined() || batch.inputs[0].tensor.dim() == 0 ? 0 : batch.inputs[0].tensor.size(0);
    executor.run(batch.inputs, [&](ValueId id, const Tensor& numbers) {
      // a filled-up batch repeats its last sample: those rows count nowhere
      const bool is_filled = rows > batch.count && numbers.dim() > 0 && numbers.size(0) == rows;
      see(found, id, is_filled ? numbers.narrow(0, 0, batch.count) : numbers, batch.first);
    });
    return found;
  }

  static void join(Statistics& all, const Statistics& part) {
    all.num_samples_ += part.num_samples_;
    for (const auto& [id, range] : part.ranges_) {
      const auto [known, is_new] = all.ranges_.emplace(id, range);
      if (!is_new) known->second = {std::min(known->second.low, range.low), std::max(known->second.high, range.high)};
    }
    for (const auto& [id, histogram] : part.histograms_) all.histograms_[id].add(histogram);
    for (const auto& [id, sums] : part.channels_) {
      ChannelSums& known = all.channels_[id];
      if (known.count == 0) {
        known = sums;
        continue;
      }
      known = {known.sum + sums.sum, known.sum_absolute + sums.sum_absolute, known.sum_square + sums.sum_square,
               at::maximum(known.max_absolute, sums.max_absolute), known.count + sums.count};
    }
    for (const auto& [id, sum] : part.input_means_) {
      Tensor& known = all.input_means_[id];
      known = known.defined() ? known + sum : sum;
      all.mean_counts_[id] += part.mean_counts_.at(id);
    }
  }

  static void finish(Statistics& all) {
    for (auto& [id, sum] : all.input_means_) sum = sum / static_cast<double>(std::max<int64_t>(all.mean_counts_.at(id), 1));
  }

 private:
  void see(Statistics& found, ValueId id, const Tensor& numbers, int64_t first) const {
    const bool wants_histogram = wanted_.histograms.contains(id);
    if (!at::isFloatingType(numbers.scalar_type()) || numbers.numel() == 0) return;
    if (wants_histogram || wanted_.ranges.contains(id)) {
      const auto [low, high] = at::aminmax(numbers);
      const double least = low.item<double>(), most = high.item<double>();
      if (!std::isfinite(least) || !std::isfinite(most)) {
        throw ModelError("E1710", cat("value '", printable(graph_.value(id).name), "' became NaN or infinite"),
                         {.found = cat("in the samples from ", first, " on")});
      }
      const auto [known, is_new] = found.ranges_.emplace(id, Range{least, most});
      if (!is_new) known->second = {std::min(known->second.low, least), std::max(known->second.high, most)};
      if (wants_histogram) found.histograms_[id].add(numbers);
    }
    const auto axis = wanted_.channels.find(id);
    if (axis != wanted_.channels.end()) add_channels(found.channels_[id], numbers, axis->second);
    const auto readers = means_.find(id);
    if (readers == means_.end()) return;
    for (const LinearView* view : readers->second) {
      const Tensor sums = column_sums(graph_, *view, numbers, found.mean_counts_[view->node]);
      Tensor& known = found.input_means_[view->node];
      known = known.defined() ? known + sums : sums;
    }
  }

  const Graph& graph_;
  const Wanted& wanted_;
  std::map<ValueId, std::vector<const LinearView*>> means_;
};

namespace {

template <typename Map>
const typename Map::mapped_type& seen(const Map& found, const typename Map::key_type& id) {
  const auto one = found.find(id);
  if (one != found.end()) return one->second;
  throw ModelError("E1712", "the calibration data gives a value no number to look at",
                   {.help = "give samples that reach every part of the model, or leave that part out with --keep"});
}

}  // namespace

Range Statistics::range(ValueId id) const { return seen(ranges_, id); }
const Histogram& Statistics::histogram(ValueId id) const { return seen(histograms_, id); }
const ChannelSums& Statistics::channels(ValueId id) const { return seen(channels_, id); }
const Tensor& Statistics::input_mean(NodeId id) const { return seen(input_means_, id); }

Statistics collect(const Executor& executor, const Graph& graph, const Dataset& data, const Wanted& wanted, Progress& progress) {
  const Collector collector(graph, wanted);
  // batches of one sample are handed out in groups, so that joining costs little beside running
  const int64_t group = std::max<int64_t>(1, 16 / data.batch_size()), batches = data.num_batches();
  const int64_t groups = (batches + group - 1) / group;
  std::vector<Statistics> parts(static_cast<size_t>(groups));
  Statistics all;
  progress.start("calibrate", data.num_samples());
  ordered_for(
      groups,
      [&](int64_t i) {
        for (int64_t batch = i * group; batch < std::min(batches, (i + 1) * group); ++batch) {
          Collector::join(parts[static_cast<size_t>(i)], collector.one(executor, data.batch(batch)));
        }
      },
      [&](int64_t i) {
        Statistics& part = parts[static_cast<size_t>(i)];
        Collector::join(all, part);
        progress.advance(part.num_samples());
        part = {};
      });
  Collector::finish(all);
  if (all.num_samples() == 0) throw ModelError("E1712", "the calibration data holds no sample");
  return all;
}

}  // namespace niwaki
