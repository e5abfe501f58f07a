#include "compress/dataset.h"

#include "compress/error.h"
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

RunValue gather_strings(const SampleArray& array, const std::vector<int64_t>& chosen, int64_t first, int64_t count) {
  RunValue all;
  Strings texts;
  for (int64_t i = first; i < first + count; ++i) {
    all = array.rows(chosen[static_cast<size_t>(i)], 1);
    texts.insert(texts.end(), all.strings->begin(), all.strings->end());
  }
  all.strings = std::make_shared<const Strings>(std::move(texts));
  all.sizes[0] = count;
  return all;
}

/// Samples [first, first + count) of those chosen; runs of neighbours are read at once.
RunValue gather_rows(const SampleArray& array, const std::vector<int64_t>& chosen, int64_t first, int64_t count) {
  if (chosen.empty()) return array.rows(first, count);
  if (array.dtype() == DType::string) return gather_strings(array, chosen, first, count);
  std::vector<Tensor> parts;
  for (int64_t i = first; i < first + count;) {
    int64_t end = i + 1;
    while (end < first + count && chosen[static_cast<size_t>(end)] == chosen[static_cast<size_t>(end - 1)] + 1) ++end;
    parts.push_back(array.rows(chosen[static_cast<size_t>(i)], end - i).tensor);
    i = end;
  }
  return parts.size() == 1 ? RunValue(parts[0]) : RunValue(at::cat(parts, 0));
}

}  // namespace

Dataset::Batch Dataset::batch(int64_t index) const {
  Batch batch{.first = index * batch_, .count = std::min(batch_, num_samples_ - index * batch_)};
  for (const Feed& feed : feeds_) {
    if (!feed.array) {
      batch.inputs.push_back(feed.constant);
      continue;
    }
    RunValue rows = gather_rows(*feed.array, chosen_, batch.first, batch.count);
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
  if (labels_) batch.labels = gather_rows(*labels_, chosen_, batch.first, batch.count).tensor;
  return batch;
}

}  // namespace niwaki
