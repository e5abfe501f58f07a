#include "formats/fit_samples.h"

#include <algorithm>

#include "compress/error.h"
#include "formats/reshapable_array.h"

namespace niwaki {
namespace {

constexpr int64_t kRangeSamples = 256;  // looked at for the range of W1715

bool is_float_input(const Value& input) {
  return input.dtype == DType::float32 || input.dtype == DType::float16 ||
         input.dtype == DType::bfloat16 || input.dtype == DType::float64;
}

/// The sizes behind the first axis, -1 where the input leaves one open; nothing without a shape.
std::optional<std::vector<int64_t>> sample_sizes(const Value& input) {
  if (!input.shape || input.shape->empty()) return {};
  std::vector<int64_t> sizes;
  for (size_t i = 1; i < input.shape->size(); ++i) {
    const auto* size = std::get_if<int64_t>(&(*input.shape)[i]);
    sizes.push_back(size != nullptr && *size > 0 ? *size : -1);
  }
  return sizes;
}

int64_t product(const std::vector<int64_t>& sizes) {
  int64_t elements = 1;
  for (const int64_t size : sizes) {
    if (__builtin_mul_overflow(elements, size, &elements)) return -1;
  }
  return elements;
}

bool matches(const std::vector<int64_t>& wanted, const std::vector<int64_t>& found) {
  return std::equal(wanted.begin(), wanted.end(), found.begin(), found.end(),
                    [](int64_t w, int64_t f) { return w == f || w == -1; });
}

std::vector<int64_t> without_ones(std::vector<int64_t> sizes) {
  std::erase(sizes, 1);
  return sizes;
}

/// What a sample of `found` sizes becomes for an input of `wanted` sizes; nothing where it cannot.
std::optional<std::vector<int64_t>> refilled(std::vector<int64_t> wanted,
                                             const std::vector<int64_t>& found, bool in_any_shape) {
  const auto open = std::find(wanted.begin(), wanted.end(), -1);
  if (open != wanted.end()) {
    *open = 1;
    const int64_t known = product(wanted), elements = product(found);
    if (std::count(wanted.begin(), wanted.end(), -1) > 0 || known <= 0 || elements % known != 0)
      return {};
    *open = elements / known;
  }
  const bool fits = in_any_shape ? product(wanted) == product(found)
                                 : without_ones(wanted) == without_ones(found);
  return fits ? std::optional(wanted) : std::nullopt;
}

/// Another array's rows in another shape, of the same elements in the same order.
class Reshaped : public SampleArray {
 public:
  Reshaped(std::shared_ptr<const SampleArray> array, std::vector<int64_t> sample)
      : array_(std::move(array)), sample_(std::move(sample)) {}
  DType dtype() const override { return array_->dtype(); }
  std::vector<int64_t> sizes() const override { return with_rows(array_->sizes().at(0)); }
  RunValue rows(int64_t first, int64_t count) const override {
    return RunValue(array_->rows(first, count).tensor.reshape(with_rows(count)));
  }

 private:
  std::vector<int64_t> with_rows(int64_t count) const {
    std::vector<int64_t> sizes{count};
    sizes.insert(sizes.end(), sample_.begin(), sample_.end());
    return sizes;
  }
  std::shared_ptr<const SampleArray> array_;
  std::vector<int64_t> sample_;
};

/// Another array's rows with the axes of images in the other layout.
class Transposed : public SampleArray {
 public:
  Transposed(std::shared_ptr<const SampleArray> array, std::array<int64_t, 4> order)
      : array_(std::move(array)), order_(order) {}
  DType dtype() const override { return array_->dtype(); }
  std::vector<int64_t> sizes() const override {
    const std::vector<int64_t> from = array_->sizes();
    std::vector<int64_t> to;
    for (const int64_t axis : order_) to.push_back(from.at(static_cast<size_t>(axis)));
    return to;
  }
  RunValue rows(int64_t first, int64_t count) const override {
    return RunValue(array_->rows(first, count).tensor.permute(order_).contiguous());
  }

 private:
  std::shared_ptr<const SampleArray> array_;
  std::array<int64_t, 4> order_;
};

/// Another array's rows behind the arithmetic of preprocess.
class Preprocessed : public SampleArray {
 public:
  Preprocessed(std::shared_ptr<const SampleArray> array, Preprocess preprocess, const Value& input)
      : array_(std::move(array)),
        preprocess_(std::move(preprocess)),
        name_(input.name),
        dtype_(input.dtype) {}
  DType dtype() const override { return dtype_; }
  std::vector<int64_t> sizes() const override { return array_->sizes(); }
  RunValue rows(int64_t first, int64_t count) const override {
    const Tensor y = apply_preprocess(array_->rows(first, count).tensor, preprocess_, name_);
    return RunValue(y.to(scalar_type(dtype_)), dtype_);
  }

 private:
  std::shared_ptr<const SampleArray> array_;
  Preprocess preprocess_;
  std::string name_;
  DType dtype_;
};

std::shared_ptr<const SampleArray> reshape(std::shared_ptr<const SampleArray> array,
                                           const Value& input) {
  const auto* reshapable = dynamic_cast<const ReshapableArray*>(array.get());
  const auto wanted = sample_sizes(input);
  if (reshapable == nullptr || !wanted) return array;
  const std::vector<int64_t> sizes = array->sizes(), sample(sizes.begin() + 1, sizes.end());
  if (matches(*wanted, sample)) return array;
  const auto shape = refilled(*wanted, sample, reshapable->fills_any_shape());
  return shape ? std::make_shared<Reshaped>(std::move(array), *shape) : array;
}

/// An array that fits already is left; in the layout that the input does not have, it is turned.
std::shared_ptr<const SampleArray> turn(std::shared_ptr<const SampleArray> array,
                                        const Value& input, Preprocess::Layout layout) {
  const auto wanted = sample_sizes(input);
  const std::vector<int64_t> sizes = array->sizes();
  const bool is_image = wanted && wanted->size() == 3 && sizes.size() == 4;
  if (layout == Preprocess::Layout::automatic || !is_image) return array;
  if (matches(*wanted, {sizes.begin() + 1, sizes.end()})) return array;
  const bool to_nchw = layout == Preprocess::Layout::nchw;
  auto turned = std::make_shared<Transposed>(array, to_nchw ? std::array<int64_t, 4>{0, 3, 1, 2}
                                                            : std::array<int64_t, 4>{0, 2, 3, 1});
  const std::vector<int64_t> after = turned->sizes();
  if (!matches(*wanted, {after.begin() + 1, after.end()})) return array;
  return turned;
}

/// W1715, with the range of the first samples.
std::string unscaled_note(const SampleArray& array, const std::string& name) {
  const int64_t count = std::min(array.sizes()[0], kRangeSamples);
  const Tensor seen = array.rows(0, count).tensor;
  return cat("W1715: array '", printable(name), "' is uint8 and goes unscaled into a float input: ",
             "numbers from ", seen.min().item<int64_t>(), " to ", seen.max().item<int64_t>(),
             " in the first ", count, " samples; preprocess with `scale: 0.00392156862` makes them "
             "0 to 1, `scale: 1` says that this is right");
}

std::shared_ptr<const SampleArray> fit_one(std::shared_ptr<const SampleArray> array,
                                           const Value& input, const Preprocess& preprocess,
                                           Strings* notes) {
  const bool is_float = is_float_input(input) && array->dtype() != DType::string;
  array = reshape(std::move(array), input);
  if (!is_float) return array;
  const bool has_rows = array->sizes()[0] > 0;
  if (array->dtype() == DType::uint8 && preprocess.scale.empty() && has_rows && notes != nullptr)
    notes->push_back(unscaled_note(*array, input.name));
  array = turn(std::move(array), input, preprocess.layout);
  const bool calculates =
      !preprocess.scale.empty() || !preprocess.mean.empty() || !preprocess.std.empty();
  if (!calculates) return array;
  return std::make_shared<Preprocessed>(std::move(array), preprocess, input);
}

}  // namespace

SampleArrays fit_samples(const Graph& graph, SampleArrays arrays, const Preprocess& preprocess,
                         const std::map<std::string, std::string>& fixed, Strings* notes) {
  std::vector<const Value*> inputs;
  for (const ValueId id : graph.main().inputs) {
    const Value& value = graph.value(id);
    if (!graph.constant(id) && !fixed.contains(value.name)) inputs.push_back(&value);
  }
  if (inputs.size() == 1 && !arrays.contains(inputs[0]->name)) {
    if (auto unnamed = arrays.extract("arr_0")) {
      unnamed.key() = inputs[0]->name;
      arrays.insert(std::move(unnamed));
    }
  }
  bool is_used = preprocess.is_empty();
  for (const Value* input : inputs) {
    const auto found = arrays.find(input->name);
    if (found == arrays.end() || found->second->sizes().empty()) continue;
    is_used = is_used || is_float_input(*input);
    found->second = fit_one(found->second, *input, preprocess, notes);
  }
  if (is_used) return arrays;
  throw UsageError("E2013", "preprocess has nothing to act on",
                   {.found = "it goes with the arrays of float inputs, and there is none",
                    .help = "leave preprocess out"});
}

}  // namespace niwaki
