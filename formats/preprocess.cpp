#include "formats/preprocess.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <span>

#include <nlohmann/json.hpp>

#include "compress/error.h"
#include "compress/mapped_file.h"
#include "compress/recipe_yaml.h"

namespace niwaki {
namespace {

constexpr std::array kKeys = {"scale", "mean", "std", "layout"};
constexpr std::array kImageKeys = {"color", "resize", "crop"};
constexpr const char* kHelp = "preprocess: {scale: 0.00392156862, mean: [0.5], std: [0.25]}";

std::vector<double> numbers_of(const std::string& name, const Json& value,
                               const std::string& place) {
  const Json list = value.is_array() ? value : Json::array({value});
  const auto is_number = [](const Json& one) { return one.is_number(); };
  if (list.empty() || !std::all_of(list.begin(), list.end(), is_number)) {
    throw UsageError("E2005",
                     cat("'", name, "' is ", printable(value.dump(), 80),
                         "; needed a number, or a list of one per channel"),
                     {.where = place, .help = kHelp});
  }
  std::vector<double> numbers;
  for (const Json& one : list) {
    numbers.push_back(one.get<double>());
    const auto as_float = static_cast<float>(numbers.back());
    if (std::isfinite(as_float) && !(name == "std" && as_float == 0)) continue;
    throw UsageError("E2008", cat("'", name, "' holds ", one.dump()),
                     {.where = place,
                      .found = name == "std" ? "needed finite numbers other than 0"
                                             : "needed finite numbers",
                      .help = kHelp});
  }
  return numbers;
}

Preprocess::Layout layout_of(const Json& value, const std::string& place) {
  if (value == "auto") return Preprocess::Layout::automatic;
  if (value == "nchw") return Preprocess::Layout::nchw;
  if (value == "nhwc") return Preprocess::Layout::nhwc;
  throw UsageError(
      "E2005",
      cat("'layout' is ", printable(value.dump(), 80), "; needed one of nchw|nhwc|auto"),
      {.where = place, .help = kHelp});
}

[[noreturn]] void refuse_key(const std::string& name, const std::string& place) {
  if (std::count(kImageKeys.begin(), kImageKeys.end(), name) > 0) {
    throw UsageError("E2002", cat("'", name, "' of preprocess is not in this version"),
                     {.where = place,
                      .found = "it is for image files, which are not read yet",
                      .help = "decode and resize images first, and save arrays"});
  }
  const std::string near = nearest(name, kKeys);
  throw UsageError("E2004", cat("unknown key '", printable(name), "' in preprocess"),
                   {.where = place,
                    .help = near.empty() ? "there are scale, mean, std and layout"
                                         : cat("did you mean '", near, "'?")});
}

std::string text_of_file(const std::string& path, const Limits& limits) {
  const FileReader file(path);
  if (file.size() > limits.yaml_bytes) {
    throw UsageError("E1004", "limit 'yaml_bytes' is exceeded",
                     {.where = printable(path),
                      .found = cat("found ", file.size(), ", needed at most ", limits.yaml_bytes)});
  }
  std::string text(static_cast<size_t>(file.size()), '\0');
  file.read_at(0, std::as_writable_bytes(std::span(text)));
  return text;
}

/// The numbers as float32, shaped to stand along their axis.
Tensor along_axis(const std::vector<double>& numbers, const Tensor& array,
                  const Preprocess& preprocess, const std::string& name) {
  const Tensor floats = at::tensor(numbers, at::kDouble).to(at::kFloat);
  if (numbers.size() == 1) return floats.reshape({});
  std::vector<int64_t> sizes(static_cast<size_t>(array.dim()), 1);
  const int64_t count = static_cast<int64_t>(numbers.size());
  const int64_t axis = axis_of_channels(array.sizes().vec(), count, preprocess.layout, name);
  sizes[static_cast<size_t>(axis)] = count;
  return floats.reshape(sizes);
}

Tensor as_float32(const Tensor& numbers, const std::string& name) {
  const Tensor floats = numbers.to(at::kFloat);
  const bool can_lose = !at::isFloatingType(numbers.scalar_type()) && numbers.element_size() > 2;
  if (!can_lose || at::equal(floats.to(at::kDouble), numbers.to(at::kDouble))) return floats;
  throw ModelError("E1704", cat("array '", printable(name), "' holds integers beyond float32"),
                   {.help = "leave preprocess out, or scale the array before it is saved"});
}

}  // namespace

Preprocess parse_preprocess(const Json& block, const std::string& place) {
  if (!block.is_object()) {
    throw UsageError("E2005", "preprocess is no block of keys", {.where = place, .help = kHelp});
  }
  Preprocess preprocess;
  for (const auto& [name, value] : block.items()) {
    if (name == "scale") preprocess.scale = numbers_of(name, value, place);
    else if (name == "mean") preprocess.mean = numbers_of(name, value, place);
    else if (name == "std") preprocess.std = numbers_of(name, value, place);
    else if (name == "layout") preprocess.layout = layout_of(value, place);
    else refuse_key(name, place);
  }
  return preprocess;
}

Preprocess read_preprocess(const std::string& path, const Limits& limits) {
  const YamlDocument yaml = parse_yaml(text_of_file(path, limits), path);
  const bool is_wrapped = yaml.value.is_object() && yaml.value.size() == 1 &&
                          yaml.value.contains("preprocess");
  return parse_preprocess(is_wrapped ? yaml.value["preprocess"] : yaml.value, printable(path));
}

int64_t axis_of_channels(const std::vector<int64_t>& sizes, int64_t count,
                         Preprocess::Layout layout, const std::string& name) {
  const int64_t last = static_cast<int64_t>(sizes.size()) - 1;
  const auto has = [&](int64_t axis) {
    return axis > 0 && axis <= last && sizes[static_cast<size_t>(axis)] == count;
  };
  const bool tries_first = layout != Preprocess::Layout::nhwc && has(1);
  const bool tries_last = layout != Preprocess::Layout::nchw && has(last);
  if (tries_first && tries_last && last != 1) {
    throw UsageError("E2005", cat("channels of array '", printable(name), "' ", shape_text(sizes),
                                  " could be axis 1 or axis ", last),
                     {.help = "give `layout: nchw` or `layout: nhwc` in preprocess"});
  }
  if (tries_first) return 1;
  if (tries_last) return last;
  throw UsageError("E2005", cat("preprocess has ", count, " numbers per channel; array '",
                                printable(name), "' ", shape_text(sizes),
                                " has no such axis of channels"),
                   {.help = "give one number, or one per channel of the input"});
}

Tensor apply_preprocess(const Tensor& numbers, const Preprocess& preprocess,
                        const std::string& name) {
  Tensor y = as_float32(numbers, name);
  if (!preprocess.scale.empty()) y = y * along_axis(preprocess.scale, y, preprocess, name);
  if (!preprocess.mean.empty()) y = y - along_axis(preprocess.mean, y, preprocess, name);
  if (!preprocess.std.empty()) y = y / along_axis(preprocess.std, y, preprocess, name);
  return y;
}

}  // namespace niwaki
