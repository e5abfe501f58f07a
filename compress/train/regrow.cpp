#include "compress/train/regrow.h"

#include <algorithm>
#include <vector>

namespace niwaki {
namespace {

constexpr float kAhead = 1.1F / 0.9F;        // of what is kept

}  // namespace

Tensor moved_mask(const Tensor& weights, const Tensor& mask) {
  const auto kept = mask.sum().item<int64_t>();
  if (kept == 0 || kept == mask.numel()) return mask;
  const Tensor size = weights.detach().to(at::kFloat).abs();
  const Tensor scores = at::where(mask, size * kAhead, size).contiguous();
  const float* const score = scores.const_data_ptr<float>();
  std::vector<float> ranked(score, score + scores.numel());
  std::nth_element(ranked.begin(), ranked.begin() + (kept - 1), ranked.end(), std::greater<>());
  const float last = ranked[static_cast<size_t>(kept - 1)];
  Tensor moved = at::empty(mask.sizes(), at::kBool);
  bool* const keep = moved.mutable_data_ptr<bool>();
  int64_t ties = kept;
  for (int64_t i = 0; i < scores.numel(); ++i) {
    keep[i] = score[i] > last;
    ties -= keep[i] ? 1 : 0;
  }
  for (int64_t i = 0; i < scores.numel() && ties > 0; ++i) {
    if (score[i] != last) continue;
    keep[i] = true;
    --ties;
  }
  return moved;
}

}  // namespace niwaki
