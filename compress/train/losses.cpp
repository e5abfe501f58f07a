#include "compress/train/losses.h"

#include "compress/error.h"

#include <cmath>

namespace niwaki {
namespace {

constexpr double kSmall = 1e-12;

/// [positions, classes].
Tensor class_rows(const Tensor& scores) {
  if (scores.dim() <= 1) return scores.reshape({-1, 1});
  const bool is_last = scores.dim() <= 3;
  const Tensor moved = is_last ? scores : scores.movedim(1, -1);
  return moved.reshape({-1, moved.size(-1)});
}

/// The teacher is data: no gradient goes there.
Tensor fixed(const Tensor& teacher, const Tensor& student) {
  if (teacher.sizes() != student.sizes()) {
    throw UsageError("E3322", cat("the student gives ", shape_text(student.sizes()), ", the teacher ", shape_text(teacher.sizes())),
                     {.help = "pair values of the same shape"});
  }
  return teacher.detach().to(student.scalar_type());
}

/// The sum of one number per position over those that count.
LossSum over_positions(const Tensor& losses, const Tensor& mask) {
  if (!mask.defined()) return {losses.sum(), static_cast<double>(losses.numel())};
  const Tensor counts = mask.reshape({-1}).to(at::kBool);
  return {at::where(counts, losses, at::zeros_like(losses)).sum(), static_cast<double>(counts.sum().item<int64_t>())};
}

/// The sum over samples of the mean over each sample's elements.
LossSum over_samples(const Tensor& losses) {
  const int64_t samples = losses.dim() > 0 ? losses.size(0) : 1;
  const auto elements = static_cast<double>(std::max<int64_t>(losses.numel() / std::max<int64_t>(samples, 1), 1));
  return {losses.sum() / elements, static_cast<double>(samples)};
}

Tensor divergence(const Tensor& student, const Tensor& teacher, double temperature) {
  const Tensor wanted = at::log_softmax(teacher / temperature, 1), got = at::log_softmax(student / temperature, 1);
  return (wanted.exp() * (wanted - got)).sum(1) * (temperature * temperature);
}

Tensor standardised(const Tensor& rows) {
  const Tensor centred = rows - rows.mean(1, /*keepdim=*/true);
  return centred * at::rsqrt(at::square(centred).mean(1, true) + kSmall);
}

/// 1 - Pearson correlation along an axis; 0 where the teacher does not vary, so that there is nothing to follow.
Tensor unrelated(const Tensor& student, const Tensor& teacher, int64_t axis) {
  const Tensor a = student - student.mean(axis, true), b = teacher - teacher.mean(axis, true);
  const Tensor a_energy = at::square(a).sum(axis), b_energy = at::square(b).sum(axis);
  const Tensor related = (a * b).sum(axis) * at::rsqrt((a_energy + kSmall * kSmall) * (b_energy + kSmall * kSmall));
  return at::where(b_energy > kSmall * kSmall, 1 - related, at::zeros_like(related));
}

/// The larger of two maps [N, C, H, W] pooled to the sizes of the smaller.
std::pair<Tensor, Tensor> same_maps(const Tensor& student, const Tensor& teacher) {
  if (student.dim() != 4 || teacher.dim() != 4 || student.sizes().slice(2) == teacher.sizes().slice(2)) return {student, teacher};
  const std::vector<int64_t> sizes{std::min(student.size(2), teacher.size(2)), std::min(student.size(3), teacher.size(3))};
  return {at::adaptive_avg_pool2d(student, sizes), at::adaptive_avg_pool2d(teacher, sizes)};
}

Tensor energy_map(const Tensor& maps) {
  const Tensor flat = at::square(maps).sum(1).flatten(1);                  // [N, positions]
  return flat / (at::linalg_vector_norm(flat, 2, at::IntArrayRef{1}, true) + kSmall);
}

Tensor gram_rows(const Tensor& features) {
  const Tensor flat = features.flatten(1), gram = at::mm(flat, flat.t());   // [N, N]
  return gram / (at::linalg_vector_norm(gram, 2, at::IntArrayRef{1}, true) + kSmall);
}

LossSum soft_cross_entropy(const Tensor& scores, const Tensor& shares) {
  const Tensor rows = class_rows(scores);
  return over_positions(-(class_rows(shares.to(scores.scalar_type())) * at::log_softmax(rows, 1)).sum(1), {});
}

/// Rows of the scores in the order of the labels, which say where the classes are.
Tensor rows_for(const Tensor& scores, const Tensor& labels) {
  const auto refuse = [&] {
    throw UsageError("E1706", cat("labels of shape ", shape_text(labels.sizes()), " for scores of shape ", shape_text(scores.sizes())));
  };
  if (scores.dim() < 2 || labels.numel() * scores.size(-1) != scores.numel()) {
    if (scores.dim() < 3 || labels.numel() * scores.size(1) != scores.numel()) refuse();
    return scores.movedim(1, -1).reshape({-1, scores.size(1)});
  }
  const bool fits_last = labels.sizes() == scores.sizes().slice(0, static_cast<size_t>(scores.dim() - 1)) || scores.dim() == 2;
  if (fits_last && scores.dim() <= 3) return scores.reshape({-1, scores.size(-1)});
  if (labels.numel() * scores.size(1) == scores.numel()) return scores.movedim(1, -1).reshape({-1, scores.size(1)});
  return scores.reshape({-1, scores.size(-1)});
}

/// Shares that are 0 in both, of keys that a mask hides, cost nothing.
LossSum row_divergence(const Tensor& student, const Tensor& teacher) {
  const bool is_alike = student.dim() == 4 && teacher.dim() == 4 && student.size(1) == teacher.size(1);
  const auto heads = [&](const Tensor& shares) { return is_alike || shares.dim() != 4 ? shares : shares.mean(1, true); };
  const Tensor got = heads(student), wanted = fixed(heads(teacher), got);
  const Tensor lost = (wanted * (wanted.clamp_min(kSmall).log() - got.clamp_min(kSmall).log())).sum(-1);
  return over_samples(lost);
}

Tensor relations(const Tensor& values) {
  return at::softmax(at::matmul(values, values.transpose(-1, -2)) / std::sqrt(static_cast<double>(values.size(-1))), -1);
}

}  // namespace

LossSum add(const LossSum& first, double first_share, const LossSum& second, double second_share) {
  if (second_share == 0) return {first.sum * first_share, first.weight};
  if (first_share == 0) return {second.sum * second_share, second.weight};
  const double weight = std::max(first.weight, second.weight);
  const auto scaled = [&](const LossSum& loss, double share) { return loss.weight > 0 ? loss.sum * (share * weight / loss.weight) : loss.sum * 0; };
  return {scaled(first, first_share) + scaled(second, second_share), weight};
}

LossSum cross_entropy(const Tensor& scores, const Tensor& labels) {
  if (labels.is_floating_point() && labels.sizes() == scores.sizes()) return soft_cross_entropy(scores, labels);
  const Tensor rows = rows_for(scores, labels);
  Tensor wanted = labels.reshape({-1}).to(at::kLong);
  const Tensor counts = wanted.ge(0);
  if (wanted.numel() > 0 && wanted.max().item<int64_t>() >= rows.size(1)) {
    throw UsageError("E1706", cat("label ", wanted.max().item<int64_t>(), " for scores of ", rows.size(1), " classes"));
  }
  wanted = wanted.clamp_min(0);
  const Tensor losses = -at::log_softmax(rows, 1).gather(1, wanted.unsqueeze(1)).squeeze(1);
  return over_positions(losses, counts);
}

LossSum mse(const Tensor& y, const Tensor& target) { return over_samples(at::square(y - fixed(target, y))); }

LossSum smooth_l1(const Tensor& y, const Tensor& target) {
  return over_samples(at::smooth_l1_loss(y, fixed(target, y), at::Reduction::None));
}

LossSum distillation(const Tensor& student, const Tensor& teacher, double temperature, const Tensor& mask) {
  return over_positions(divergence(class_rows(student), class_rows(fixed(teacher, student)), temperature), mask);
}

LossSum standardised_distillation(const Tensor& student, const Tensor& teacher, double temperature, const Tensor& mask) {
  const Tensor wanted = standardised(class_rows(fixed(teacher, student)));
  return over_positions(divergence(standardised(class_rows(student)), wanted, temperature), mask);
}

LossSum correlation(const Tensor& student, const Tensor& teacher, double temperature, const Tensor& mask) {
  Tensor got = class_rows(student), wanted = class_rows(fixed(teacher, student));
  if (mask.defined()) {
    const Tensor kept = mask.reshape({-1}).to(at::kBool).nonzero().squeeze(1);
    got = got.index_select(0, kept);
    wanted = wanted.index_select(0, kept);
  }
  got = at::softmax(got / temperature, 1);
  wanted = at::softmax(wanted / temperature, 1);
  const auto rows = static_cast<double>(got.size(0));
  Tensor sum = unrelated(got, wanted, 1).sum();
  if (got.size(0) > 1) sum = sum + unrelated(got, wanted, 0).mean() * rows;
  return {sum, rows};
}

LossSum binary_distillation(const Tensor& student, const Tensor& teacher) {
  const Tensor wanted = fixed(teacher, student), share = at::sigmoid(wanted);
  // p (ln p_T - ln p_S) + (1 - p) (ln (1 - p_T) - ln (1 - p_S)), and ln (1 - sigmoid(z)) = ln sigmoid(-z)
  const Tensor yes = at::log_sigmoid(wanted) - at::log_sigmoid(student), no = at::log_sigmoid(-wanted) - at::log_sigmoid(-student);
  return over_samples(share * yes + (1 - share) * no);
}

LossSum feature_mse(const Tensor& student, const Tensor& teacher, double variance) {
  const auto [got, maps] = same_maps(student, teacher);
  const Tensor wanted = fixed(maps, got), errors = at::square(got - wanted);
  if (variance > 0) return over_samples(errors / variance);
  const Tensor flat = wanted.flatten(1);
  const Tensor own = at::square(flat - flat.mean(1, true)).mean(1, true) + kSmall;   // [N, 1]
  return over_samples(errors.flatten(1) / own);
}

LossSum attention_map(const Tensor& student, const Tensor& teacher) {
  const auto [got, wanted] = same_maps(student, teacher.detach().to(student.scalar_type()));
  const Tensor mine = energy_map(got), theirs = fixed(energy_map(wanted), mine);
  return {at::square(mine - theirs).sum(), static_cast<double>(student.size(0))};
}

LossSum similarity(const Tensor& student, const Tensor& teacher) {
  const Tensor mine = gram_rows(student), theirs = fixed(gram_rows(teacher.detach()), mine);
  const auto samples = static_cast<double>(student.size(0));
  return {at::square(mine - theirs).sum() / samples, samples};      // N * |.|^2 / N^2
}

LossSum attention_rows(const Tensor& student, const Tensor& teacher) { return row_divergence(student, teacher); }

LossSum value_relations(const Tensor& student, const Tensor& teacher) { return row_divergence(relations(student), relations(teacher)); }

}  // namespace niwaki
