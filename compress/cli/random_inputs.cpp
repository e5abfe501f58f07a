#include "compress/cli/command.h"
#include "compress/random.h"

namespace niwaki {
namespace {

// Sizes that models with free dimensions mostly take.
constexpr int64_t kUsualImage = 224, kUsualLength = 16;
constexpr int64_t kMostElements = int64_t{1} << 28;

/// A free dimension's size: the batch first, pictures at 224, sequences at 16.
int64_t usual_size(size_t axis, size_t rank, int64_t batch) {
  if (axis == 0) return batch;
  return rank == 4 && axis >= 2 ? kUsualImage : kUsualLength;
}

Tensor drawn(const Value& value, const std::vector<int64_t>& sizes, uint64_t seed) {
  Generator generator(seed, value.name);
  Tensor numbers = at::empty(sizes, at::kFloat);
  float* data = numbers.mutable_data_ptr<float>();
  const bool is_real = is_float(value.dtype);
  // 0 and 1 are good indices of any vocabulary and good masks
  for (int64_t i = 0; i < numbers.numel(); ++i) data[i] = is_real ? static_cast<float>(generator.normal()) : static_cast<float>(generator.below(2));
  return numbers;
}

double fixed_number(const std::string& name, const std::string& text) {
  if (text == "zeros") return 0;
  char* end = nullptr;
  const double number = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != 0) throw UsageError("E2005", cat("--input ", printable(name), "=", printable(text), ": needed a number or 'zeros'"));
  return number;
}

}  // namespace

std::map<std::string, Tensor> random_inputs(const Graph& graph, int64_t batch, uint64_t seed, const std::map<std::string, std::string>& fixed) {
  std::map<std::string, Tensor> inputs;
  std::map<std::string, int64_t> named;      // equal names, equal sizes
  for (const ValueId id : graph.main().inputs) {
    if (graph.constant(id)) continue;
    const Value& value = graph.value(id);
    if (!value.shape || value.dtype == DType::string || value.dtype == DType::undefined || is_packed(value.dtype)) {
      throw UnsupportedError("E3201", cat("numbers for input '", printable(value.name), "' of type ", name_of(value.dtype), " cannot be made up"), {.help = "`niwaki compare` and `niwaki eval` take --data DATA"});
    }
    std::vector<int64_t> sizes;
    double count = 1;
    for (size_t axis = 0; axis < value.shape->size(); ++axis) {
      const Dim& dim = (*value.shape)[axis];
      const auto* size = std::get_if<int64_t>(&dim);
      const auto* name = std::get_if<std::string>(&dim);
      const int64_t usual = usual_size(axis, value.shape->size(), batch);
      sizes.push_back(size != nullptr ? *size : name != nullptr ? named.emplace(*name, usual).first->second : usual);
      count *= static_cast<double>(sizes.back());
    }
    if (count > kMostElements) throw UsageError("E2008", cat("input '", printable(value.name), "' would have ", count, " numbers"), {.found = cat("needed at most ", kMostElements), .help = "use a smaller --batch"});
    const auto given = fixed.find(value.name);
    const Tensor numbers = given == fixed.end() ? drawn(value, sizes, seed) : at::full(sizes, fixed_number(given->first, given->second), at::kFloat);
    inputs[value.name] = numbers.to(scalar_type(value.dtype));
  }
  return inputs;
}

}  // namespace niwaki
