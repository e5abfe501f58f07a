#include "compress/dataset.h"

#include "compress/error.h"
#include "compress/kept_array.h"
#include "compress/random.h"

#include <charconv>

namespace niwaki {
namespace {

constexpr int64_t kBatchBytes = 512 * 1024;  // of one input: keeps a batch's activations small for large images

std::string sizes_of(const Value& value) {
  std::vector<std::string> dims;
  if (value.shape) {
    for (const Dim& dim : *value.shape) {
      if (const auto* size = std::get_if<int64_t>(&dim)) dims.push_back(std::to_string(*size));
      else if (const auto* name = std::get_if<std::string>(&dim)) dims.push_back(*name);
      else dims.push_back("?");
    }
  }
  return shape_text(dims);
}

/// Whether [samples, ...] can be cut into pieces of the declared shape.
bool fits(const Value& value, const std::vector<int64_t>& sizes) {
  if (!value.shape) return true;
  if (value.shape->size() != sizes.size()) return false;
  for (size_t i = 1; i < sizes.size(); ++i) {
    const auto* size = std::get_if<int64_t>(&(*value.shape)[i]);
    if (size && *size > 0 && *size != sizes[i]) return false;
  }
  return true;
}

Tensor cast_lossless(const Tensor& numbers, DType wanted, const std::string& name) {
  const at::ScalarType type = scalar_type(wanted);
  if (numbers.scalar_type() == type) return numbers;
  const Tensor cast = numbers.to(type);
  const bool widens_float = at::isFloatingType(type) && at::isFloatingType(numbers.scalar_type()) &&
                            at::elementSize(type) >= at::elementSize(numbers.scalar_type());
  // float64 arrays of float32 numbers are NumPy's habit: rounding to float32 is what every runtime would do
  const bool narrows_float = type == at::kFloat && numbers.scalar_type() == at::kDouble;
  if (widens_float || narrows_float) return cast;
  if (!at::equal(cast.to(at::kDouble), numbers.to(at::kDouble))) {
    throw ModelError("E1704", cat("array '", printable(name), "' is ", name_of(dtype_of(numbers.scalar_type())),
                                  " and loses values as ", name_of(wanted)));
  }
  return cast;
}

RunValue fixed_input(const Value& value, const std::string& text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text == "zeros") number = 0;
  else if (error != std::errc() || end != text.data() + text.size()) {
    throw UsageError("E2005", cat("--input ", printable(value.name), "=", printable(text), ": needed a number or 'zeros'"));
  }
  std::vector<int64_t> sizes;
  if (value.shape) {
    for (const Dim& dim : *value.shape) sizes.push_back(std::holds_alternative<int64_t>(dim) ? std::get<int64_t>(dim) : 1);
  }
  const DType dtype = value.dtype == DType::undefined ? DType::float32 : value.dtype;
  return {at::full(sizes, number, at::TensorOptions(scalar_type(dtype))), dtype};
}

}  // namespace

Dataset::Dataset(const Graph& graph, SampleArrays arrays, const Options& options, std::string place) : place_(std::move(place)) {
  try {
    std::vector<ValueId> inputs;
    for (const ValueId id : graph.main().inputs) {
      if (!graph.constant(id)) inputs.push_back(id);
    }
    const auto rename_single = [&] {         // one unnamed array serves the only input
      if (inputs.size() == 1 && arrays.size() == 1 && !arrays.contains(graph.value(inputs[0]).name)) {
        const auto only = arrays.begin()->second;
        if (arrays.begin()->first == "arr_0") arrays = {{graph.value(inputs[0]).name, only}};
      }
    };
    if (arrays.contains("labels")) {
      if (options.want_labels) labels_ = arrays["labels"];
      if (!graph.find_value("labels") || !graph.is_main_input(*graph.find_value("labels"))) arrays.erase("labels");
    }
    arrays.erase("ids");
    rename_single();
    int64_t fixed_batch = 0;
    std::string first_name;
    for (const ValueId id : inputs) {
      const Value& value = graph.value(id);
      Feed feed{.name = value.name, .dtype = value.dtype};
      const auto fixed = options.fixed.find(value.name);
      const auto found = arrays.find(value.name);
      if (fixed != options.fixed.end()) {
        feed.constant = fixed_input(value, fixed->second);
      } else if (found == arrays.end()) {
        std::vector<std::string> known;
        for (const auto& [name, array] : arrays) known.push_back(name);
        throw UsageError("E1704", cat("no array for input '", printable(value.name), "' ", sizes_of(value)),
                         {.found = cat("found ", known.empty() ? "no arrays" : "arrays " + shape_text(known)),
                          .help = cat("name the array as the input, or give --input ", printable(value.name), "=VALUE")});
      } else if (found->second->sizes().empty()) {
        feed.constant = found->second->rows(0, 1);
        if (feed.constant.tensor.defined() && value.dtype != DType::undefined) {
          feed.constant = RunValue(cast_lossless(feed.constant.tensor, value.dtype, value.name), value.dtype);
        }
      } else {
        const std::vector<int64_t> sizes = found->second->sizes();
        if (!fits(value, sizes)) {
          throw UsageError("E1704", cat("array '", printable(value.name), "' has shape ", shape_text(sizes), "; the input wants ", sizes_of(value)),
                           {.help = "the first axis counts the samples; the others are the input's"});
        }
        if (!first_name.empty() && sizes[0] != num_samples_) {
          throw UsageError("E1705", cat("array '", printable(value.name), "' has ", sizes[0], " samples, '", printable(first_name), "' has ", num_samples_));
        }
        num_samples_ = sizes[0];
        first_name = value.name;
        feed.array = found->second;
        if (value.shape && !value.shape->empty()) {
          const auto* size = std::get_if<int64_t>(&(*value.shape)[0]);
          if (size && *size > 0 && fixed_batch > 0 && *size != fixed_batch) {
            throw UsageError("E1704", cat("input '", printable(value.name), "' takes ", *size, " samples at once, others take ", fixed_batch),
                             {.help = cat("give --input ", printable(value.name), "=VALUE")});
          }
          if (size && *size > 0) fixed_batch = *size;
        }
      }
      feeds_.push_back(std::move(feed));
    }
    if (num_samples_ == 0) throw UsageError("E1712", "the data holds no sample");
    if (labels_ && (labels_->sizes().empty() || labels_->sizes()[0] != num_samples_)) {
      throw UsageError("E1706", cat("labels have shape ", shape_text(labels_->sizes()), "; needed ", num_samples_, " along the first axis"));
    }
    int64_t sample_bytes = 1;
    for (const Feed& feed : feeds_) {
      if (!feed.array) continue;
      int64_t bytes = std::max(1, bits_of(feed.array->dtype()) / 8);
      const auto sizes = feed.array->sizes();
      for (size_t i = 1; i < sizes.size(); ++i) bytes *= sizes[i];
      sample_bytes = std::max(sample_bytes, bytes);
    }
    is_batch_fixed_ = fixed_batch > 0;
    batch_ = fixed_batch > 0 ? fixed_batch : std::clamp<int64_t>(kBatchBytes / sample_bytes, 1, options.batch);
  } catch (Error& error) {
    error.within(place_);
    throw;
  }
  if (options.samples > 0 && options.samples < num_samples_) {
    std::vector<int64_t> all(static_cast<size_t>(num_samples_));
    std::iota(all.begin(), all.end(), 0);
    const Generator generator(options.seed, "samples");
    for (int64_t i = 0; i < options.samples; ++i) {
      const auto other = i + static_cast<int64_t>(generator.at(static_cast<uint64_t>(i)) % static_cast<uint64_t>(num_samples_ - i));
      std::swap(all[static_cast<size_t>(i)], all[static_cast<size_t>(other)]);
    }
    all.resize(static_cast<size_t>(options.samples));
    std::sort(all.begin(), all.end());
    chosen_ = std::move(all);
    num_samples_ = options.samples;
  }
}

int64_t Dataset::num_batches() const { return (num_samples_ + batch_ - 1) / batch_; }

Dataset Dataset::head(int64_t count) const {
  Dataset first = *this;
  first.num_samples_ = std::min(count, num_samples_);
  if (!first.chosen_.empty()) first.chosen_.resize(static_cast<size_t>(first.num_samples_));
  return first;
}

namespace {

RunValue gather_strings(const SampleArray& array, std::span<const int64_t> places) {
  RunValue all;
  Strings texts;
  for (const int64_t place : places) {
    all = array.rows(place, 1);
    texts.insert(texts.end(), all.strings->begin(), all.strings->end());
  }
  all.strings = std::make_shared<const Strings>(std::move(texts));
  all.sizes[0] = static_cast<int64_t>(places.size());
  return all;
}

/// Rows at places that grow; runs of neighbours are read at once.
Tensor read_runs(const SampleArray& array, std::span<const int64_t> places) {
  std::vector<Tensor> parts;
  for (size_t i = 0; i < places.size();) {
    size_t end = i + 1;
    while (end < places.size() && places[end] == places[end - 1] + 1) ++end;
    parts.push_back(array.rows(places[i], static_cast<int64_t>(end - i)).tensor);
    i = end;
  }
  return parts.size() == 1 ? parts[0] : at::cat(parts, 0);
}

/// Rows at these places, in this order. They are read from front to back, which compressed arrays need.
RunValue gather_rows(const SampleArray& array, std::span<const int64_t> places) {
  if (array.dtype() == DType::string) {
    const bool is_run = !places.empty() && places.back() - places.front() + 1 == static_cast<int64_t>(places.size()) &&
                        std::is_sorted(places.begin(), places.end());
    return is_run ? array.rows(places.front(), static_cast<int64_t>(places.size())) : gather_strings(array, places);
  }
  if (std::is_sorted(places.begin(), places.end())) return RunValue(read_runs(array, places), array.dtype());
  std::vector<int64_t> order(places.size()), sorted, back(places.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return places[static_cast<size_t>(a)] < places[static_cast<size_t>(b)]; });
  for (size_t i = 0; i < order.size(); ++i) {
    sorted.push_back(places[static_cast<size_t>(order[i])]);
    back[static_cast<size_t>(order[i])] = static_cast<int64_t>(i);
  }
  const Tensor index = at::from_blob(back.data(), {static_cast<int64_t>(back.size())}, at::kLong);
  return RunValue(read_runs(array, sorted).index_select(0, index), array.dtype());
}

int64_t bytes_of_sample(const SampleArray& array) {
  const std::vector<int64_t> sizes = array.sizes();
  return std::accumulate(sizes.begin() + 1, sizes.end(), int64_t{std::max(1, bits_of(array.dtype()) / 8)}, std::multiplies<>());
}

}  // namespace

Dataset Dataset::in_memory(int64_t most_bytes) const {
  Dataset kept = *this;
  std::vector<std::shared_ptr<const SampleArray>*> arrays;
  for (Feed& feed : kept.feeds_) {
    if (feed.array) arrays.push_back(&feed.array);
  }
  if (kept.labels_) arrays.push_back(&kept.labels_);
  int64_t bytes = 0;
  for (const auto* array : arrays) {
    if ((*array)->dtype() == DType::string) return *this;
    bytes += bytes_of_sample(**array) * num_samples_;
  }
  if (bytes > most_bytes) return *this;
  std::vector<int64_t> places = chosen_;
  places.resize(static_cast<size_t>(num_samples_));
  if (chosen_.empty()) std::iota(places.begin(), places.end(), 0);
  for (auto* array : arrays) *array = std::make_shared<KeptArray>(read_runs(**array, places), (*array)->dtype());
  kept.chosen_.clear();
  return kept;
}

Dataset Dataset::in_batches(int64_t batch) const {
  Dataset other = *this;
  other.batch_ = batch;
  other.is_batch_fixed_ = false;
  return other;
}

Dataset::Batch Dataset::batch(int64_t index) const {
  const int64_t first = index * batch_;
  std::vector<int64_t> places(static_cast<size_t>(std::min(batch_, num_samples_ - first)));
  std::iota(places.begin(), places.end(), first);
  return read(places, first);
}

Dataset::Batch Dataset::gather(std::span<const int64_t> samples) const {
  const bool fits = !samples.empty() && (!is_batch_fixed_ || static_cast<int64_t>(samples.size()) <= batch_);
  if (!fits) throw InternalError(cat(samples.size(), " samples were asked for at once"));
  for (const int64_t sample : samples) {
    if (sample < 0 || sample >= num_samples_) throw InternalError(cat("sample ", sample, " of ", num_samples_, " was asked for"));
  }
  return read(samples, samples.front());
}

Dataset::Batch Dataset::read(std::span<const int64_t> samples, int64_t first) const {
  Batch batch{.first = first, .count = static_cast<int64_t>(samples.size())};
  std::vector<int64_t> places(samples.begin(), samples.end());
  if (!chosen_.empty()) {
    for (int64_t& place : places) place = chosen_[static_cast<size_t>(place)];
  }
  for (const Feed& feed : feeds_) {
    if (!feed.array) {
      batch.inputs.push_back(feed.constant);
      continue;
    }
    RunValue rows = gather_rows(*feed.array, places);
    if (rows.tensor.defined() && feed.dtype != DType::undefined) {
      rows = RunValue(cast_lossless(rows.tensor, feed.dtype, feed.name), feed.dtype);
      if (at::isFloatingType(rows.tensor.scalar_type()) && !at::isfinite(rows.tensor).all().item<bool>()) {
        throw UsageError("E1710", cat("array '", printable(feed.name), "' holds NaN or infinity"),
                         {.where = place_, .found = cat("in the samples from ", batch.first, " on")});
      }
    }
    if (is_batch_fixed_ && batch.count < batch_ && rows.tensor.defined()) {   // filled up with the last sample
      const Tensor last = rows.tensor.narrow(0, batch.count - 1, 1);
      std::vector<int64_t> sizes = last.sizes().vec();
      sizes[0] = batch_ - batch.count;
      rows.tensor = at::cat({rows.tensor, last.expand(sizes)}, 0);
    }
    batch.inputs.push_back(std::move(rows));
  }
  if (labels_) batch.labels = gather_rows(*labels_, places).tensor;
  return batch;
}

}  // namespace niwaki
