#include "compress/statistics.h"

#include "compress/error.h"
#include "compress/parallel.h"

namespace niwaki {
namespace {

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
    for (const LinearView& view : wanted.grams) {
      const auto [known, is_new] = keys_.emplace(columns_key(graph, view), view.node);
      shared_[view.node] = known->second;
      if (is_new) grams_[view.input].push_back(&view);
    }
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
    for (const auto& [id, gram] : part.grams_) add(all.grams_[id], gram);
    for (const auto& [id, gram] : part.value_grams_) add(all.value_grams_[id], gram);
  }

  static void add(Gram& known, const Tensor& columns, int64_t samples) {    // [groups, T, in]
    const Tensor means = sample_means(columns, samples);
    add(known, Gram{at::bmm(columns.transpose(1, 2), columns), columns.sum(1, /*keepdim=*/false, at::kDouble), at::bmm(means.transpose(1, 2), means), columns.size(1)});
  }

  static void add(Gram& known, const Gram& more) {
    if (known.count == 0) known = {more.products.to(at::kDouble), more.sums.to(at::kDouble), more.of_means.to(at::kDouble), 0};
    else known = {known.products + more.products, known.sums + more.sums, known.of_means + more.of_means, known.count};
    known.count += more.count;
  }

  void finish(Statistics& all) const {
    for (const auto& [id, first] : shared_) all.shared_grams_[id] = first;
    for (auto& [id, sum] : all.input_means_) sum = sum / static_cast<double>(std::max<int64_t>(all.mean_counts_.at(id), 1));
  }

 private:
  void see(Statistics& found, ValueId id, const Tensor& numbers, int64_t first) const {
    const bool wants_histogram = wanted_.histograms.contains(id);
    if (!at::isFloatingType(numbers.scalar_type()) || numbers.numel() == 0) return;
    if (wants_histogram || wanted_.ranges.contains(id)) {
      const auto [low, high] = at::aminmax(numbers);
      const double least = low.item<double>(), most = high.item<double>();
      if (!std::isfinite(least) || !std::isfinite(most)) refuse_infinite(id, first);
      const auto [known, is_new] = found.ranges_.emplace(id, Range{least, most});
      if (!is_new) known->second = {std::min(known->second.low, least), std::max(known->second.high, most)};
      if (wants_histogram) found.histograms_[id].add(numbers, least, most);
    }
    const auto axis = wanted_.channels.find(id);
    if (axis != wanted_.channels.end()) add_channels(found.channels_[id], numbers, axis->second);
    see_columns(found, id, numbers, first);
  }

  [[noreturn]] void refuse_infinite(ValueId id, int64_t first) const {
    throw ModelError("E1710", cat("value '", printable(graph_.value(id).name), "' became NaN or infinite"), {.found = cat("in the samples from ", first, " on")});
  }

  void see_columns(Statistics& found, ValueId id, const Tensor& numbers, int64_t first) const {
    if (const auto readers = means_.find(id); readers != means_.end()) {
      for (const LinearView* view : readers->second) {
        const Tensor sums = sum_columns(graph_, *view, numbers, found.mean_counts_[view->node]);
        Tensor& known = found.input_means_[view->node];
        known = known.defined() ? known + sums : sums;
      }
    }
    const bool has_gram = grams_.contains(id) || wanted_.value_grams.contains(id);
    if (has_gram && !std::isfinite(numbers.sum(at::kDouble).item<double>())) refuse_infinite(id, first);
    if (const auto readers = grams_.find(id); readers != grams_.end()) {
      for (const LinearView* view : readers->second) add(found.grams_[view->node], read_columns(graph_, *view, numbers, {wanted_.positions, wanted_.seed}, first), numbers.size(0));
    }
    if (wanted_.value_grams.contains(id) && numbers.dim() > 0) add(found.value_grams_[id], numbers.to(at::kFloat).reshape({1, -1, numbers.size(-1)}), numbers.dim() > 1 ? numbers.size(0) : 1);
  }

  const Graph& graph_;
  const Wanted& wanted_;
  std::map<ValueId, std::vector<const LinearView*>> means_, grams_;
  std::map<std::string, NodeId> keys_;
  std::map<NodeId, NodeId> shared_;          // node -> the first that reads the same columns
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
const Gram& Statistics::gram(NodeId id) const { return seen(grams_, seen(shared_grams_, id)); }
const Gram& Statistics::value_gram(ValueId id) const { return seen(value_grams_, id); }

Statistics collect(const Executor& executor, const Graph& graph, const Dataset& data, const Wanted& wanted, Progress& progress) {
  const Collector collector(graph, wanted);
  // batches of one sample are handed out in groups, so that joining costs little beside running
  const int64_t group = std::max<int64_t>(1, (wanted.grams.empty() && wanted.value_grams.empty() ? 16 : 64) / data.batch_size()), batches = data.num_batches();
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
  collector.finish(all);
  if (all.num_samples() == 0) throw ModelError("E1712", "the calibration data holds no sample");
  return all;
}

}  // namespace niwaki
