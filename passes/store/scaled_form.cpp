#include "passes/store/scaled_form.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace niwaki {
namespace {

constexpr int kMostCode = 127;
constexpr int64_t kLeastBlock = 8, kMostBlock = 256;

/// A shape of the numbers, and the axes of which each index has a scale of its own.
struct Layout {
  std::vector<int64_t> sizes, scaled;
};

/// A scale with which each number is an integer of -127 .. 127 times it, or 0; the integers, where wanted.
float scale_of(const float* x, int64_t n, float* codes) {
  float most = 0;
  for (int64_t i = 0; i < n; ++i) most = std::max(most, std::fabs(x[i]));
  if (!(most > 0) || !std::isfinite(most)) return 0;
  const auto fits = [&](float scale) {
    for (int64_t i = 0; i < n; ++i) {
      const float code = std::nearbyint(x[i] / scale);
      if (codes != nullptr) codes[i] = code;
      if (!(std::fabs(code) <= kMostCode) || code * scale != x[i] || (x[i] == 0 && std::signbit(x[i]))) return false;
    }
    return true;
  };
  for (int code = 1; code <= kMostCode; ++code) {
    const float nearest = most / static_cast<float>(code);
    for (const float scale : {nearest, std::nextafter(nearest, 0.0f), std::nextafter(nearest, most)}) {
      if (scale > 0 && fits(scale)) return scale;
    }
  }
  return 0;
}

/// A look at one group, the last: most constants are refused by it.
bool may_scale(const Tensor& ordered, size_t scaled) {
  Tensor group = ordered;
  for (size_t i = 0; i < scaled; ++i) group = group.select(0, group.size(0) - 1);
  group = group.contiguous();
  return scale_of(group.const_data_ptr<float>(), group.numel(), nullptr) > 0 || group.eq(0).all().item<bool>();
}

std::optional<StoredForm> form_of(const Constant& constant, const Layout& layout) {
  std::vector<int64_t> order = layout.scaled, back(layout.sizes.size()), scale_sizes(layout.sizes.size(), 1);
  for (const int64_t axis : layout.scaled) scale_sizes[static_cast<size_t>(axis)] = layout.sizes[static_cast<size_t>(axis)];
  for (int64_t axis = 0; axis < static_cast<int64_t>(layout.sizes.size()); ++axis) {
    if (std::find(order.begin(), order.end(), axis) == order.end()) order.push_back(axis);
  }
  for (size_t i = 0; i < order.size(); ++i) back[static_cast<size_t>(order[i])] = static_cast<int64_t>(i);
  const int64_t groups = std::accumulate(scale_sizes.begin(), scale_sizes.end(), int64_t{1}, std::multiplies<>());
  const Tensor ordered = constant.storage.to(at::kFloat).reshape(layout.sizes).permute(order);
  if (!may_scale(ordered, layout.scaled.size())) return std::nullopt;
  const Tensor rows = ordered.contiguous().reshape({groups, -1});
  Tensor codes = at::zeros(rows.sizes(), at::kFloat), scales = at::ones({groups}, at::kFloat);
  const int64_t n = rows.size(1);
  for (int64_t i = 0; i < groups; ++i) {
    const float scale = scale_of(rows.const_data_ptr<float>() + i * n, n, codes.mutable_data_ptr<float>() + i * n);
    if (scale > 0) scales.mutable_data_ptr<float>()[i] = scale;
    else if (rows[i].ne(0).any().item<bool>()) return std::nullopt;
  }
  Tensor scale = scales.reshape(scale_sizes);
  while (scale.dim() > 0 && scale.size(0) == 1) scale = scale.squeeze(0);
  StoredForm form;
  const auto numbers = form.cast(form.constant(codes.reshape(ordered.sizes()).permute(back).to(at::kChar).contiguous()), DType::float32);
  auto term = form.node("Mul", {numbers, form.constant(scale)});
  if (layout.sizes != constant.sizes) term = form.node("Reshape", {term, form.integers(constant.sizes)});
  return form;
}

std::vector<Layout> layouts_of(const std::vector<int64_t>& sizes) {
  const auto rank = static_cast<int64_t>(sizes.size());
  std::vector<Layout> layouts{{sizes, {}}};
  if (rank < 2) return layouts;
  for (int64_t axis = 0; axis < std::min<int64_t>(rank, 2); ++axis) layouts.push_back({sizes, {axis}});
  if (rank > 2) layouts.push_back({sizes, {rank - 1}});
  if (rank > 2) layouts.push_back({sizes, {0, 1}});
  const int64_t all = std::accumulate(sizes.begin(), sizes.end(), int64_t{1}, std::multiplies<>());
  const int64_t n = all / std::max<int64_t>(sizes.front(), 1), inputs = all / std::max<int64_t>(sizes.back(), 1);
  for (int64_t block = kLeastBlock; block <= kMostBlock; ++block) {
    if (n % block == 0 && n > block) layouts.push_back({{sizes.front(), n / block, block}, {0, 1}});
    if (inputs % block == 0 && inputs > block) layouts.push_back({{inputs / block, block, sizes.back()}, {0, 2}});
  }
  return layouts;
}

}  // namespace

std::vector<StoredForm> scaled_forms(const Constant& constant) {
  std::vector<StoredForm> forms;
  if (constant.dtype != DType::float32) return forms;
  for (const Layout& layout : layouts_of(constant.sizes)) {
    if (auto form = form_of(constant, layout)) forms.push_back(std::move(*form));
  }
  return forms;
}

}  // namespace niwaki
